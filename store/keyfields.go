package store

// The members of a key's line, one bit for each.
const (
	memberLeft = 1 << iota
	memberID
	memberName
	memberUser
	memberProject
	memberPaths
	memberScopes
	memberRate
	memberPrefix
	memberHint
	memberFormat
	memberHash
	memberCreated
	memberExpires
	memberRevoked
	memberDeleted
	memberPrevious
	memberAt
)

func keyMember(name []byte) uint32 {
	switch string(name) {
	case "left":
		return memberLeft
	case "id":
		return memberID
	case "name":
		return memberName
	case "user":
		return memberUser
	case "project":
		return memberProject
	case "paths":
		return memberPaths
	case "scopes":
		return memberScopes
	case "rate":
		return memberRate
	case "prefix":
		return memberPrefix
	case "hint":
		return memberHint
	case "format":
		return memberFormat
	case "hash":
		return memberHash
	case "created":
		return memberCreated
	case "expires":
		return memberExpires
	case "revoked":
		return memberRevoked
	case "deleted":
		return memberDeleted
	case "previous":
		return memberPrevious
	case "at":
		return memberAt
	default:
		return 0
	}
}
