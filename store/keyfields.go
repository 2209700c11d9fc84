package store

import "keyward/store/recordline"

// The members of a key's line, one bit for each, but those that each line may have.
const (
	memberID = recordline.First << iota
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
	memberRotated
	memberNotBefore
	memberPaused
	memberCIDRs
	memberDescription
	memberOwner
	memberCreatedBy
	memberEnding
)

// keyRestrictions restrict a key. A line that has one of them names it in must: to a
// reader that does not know it, the key has ended.
const keyRestrictions = memberNotBefore | memberPaused | memberCIDRs

// keyEndMembers are those that end a key, and those that say when and of which key
// that is: a record that is not supported is written again with these, whatever
// the others are.
const keyEndMembers = recordline.Left | recordline.Seq | memberID | memberRevoked | memberDeleted | memberEnding | recordline.At

func keyMember(name []byte) uint32 {
	switch string(name) {
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
	case "rotated":
		return memberRotated
	case "not_before":
		return memberNotBefore
	case "paused":
		return memberPaused
	case "cidrs":
		return memberCIDRs
	case "description":
		return memberDescription
	case "owner":
		return memberOwner
	case "created_by":
		return memberCreatedBy
	case "ending":
		return memberEnding
	case "at": // which each line has
		return recordline.At
	default:
		return recordline.Common(name)
	}
}
