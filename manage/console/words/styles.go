package words

// The pages that the navigation of several styles has.
var (
	administration = []Entry{
		{"/keys", "Keys"}, {"/users", "Users"}, {"/service-users", "Service users"}, {"/projects", "Projects"}, {"/clients", "OAuth clients"},
	}
	operations = Section{"Operations", []Entry{
		{"/decisions", "Explain a denial"}, {"/audit", "Audit log"}, {"/revocations", "Revoked tokens"}, {"/settings", "Configuration"},
	}}
)

func generic() *Words {
	return &Words{
		Title: "API", Key: "key", Keys: "keys", KeyTitle: "API key",
		OwnSection: "Settings", OwnKeys: "API Keys", OwnLead: "Your own keys, for server-to-server requests on your behalf.",
		Start: "Generate New API Key", Submit: "Generate", NameField: "Name",
		NameHint:    "The program that will use the key, and where it runs, such as nightly-export, production.",
		ExpiryField: "Expires", ScopesField: "Scopes", PathsField: "Request paths, one per line",
		Created: "Key created", Warning: "Copy the key and store it securely. It is not shown again.",
		Replace: "Rotate", End: "Revoke", EndNow: "Leaked: revoke now", EndEffect: "The next request with it is refused.", OwnUser: true,
		Home: []string{"/overview", "/keys", "/me/keys"},
		Sections: []Section{
			{"", append([]Entry{{"/overview", "Overview"}}, administration...)},
			operations,
			{"Settings", []Entry{{"/me/keys", "API Keys"}, {"/account", "Account"}}},
		},
		try: "export API_KEY=KEY\ncurl -H \"Authorization: Bearer $API_KEY\" URL/v1/auth/verify",
	}
}

func halo() *Words {
	w := generic()
	w.Title, w.Key, w.Keys, w.KeyTitle = "Halo API", "token", "tokens", "Personal access token"
	w.OwnSection, w.OwnKeys = "User Center", "Personal Access Tokens"
	w.OwnLead = "For programs that use the API on your behalf. A token can never do more than you can."
	w.Start, w.NameField, w.NameHint = "Generate New Token", "Descriptive name", "What the token is for, such as Deploy hook."
	w.ExpiryField, w.ScopesField = "Expiration", "Permissions"
	w.Created, w.Warning = "Token generated", "Copy and save the token immediately: you will not be able to see it again."
	w.EndEffect = "The token becomes invalid immediately. Its next request gets 401 Unauthorized."
	w.Home = []string{"/me/keys", "/overview", "/keys"}
	w.Sections = []Section{
		{"User Center", []Entry{{"/me/keys", "Personal Access Tokens"}, {"/account", "Account"}}},
		{"Administration", append([]Entry{{"/overview", "Overview"}}, administration...)},
		operations,
	}
	w.try = "export HALO_API_TOKEN=\"KEY\"\ncurl -X GET 'URL/api/v1alpha1/posts' \\\n  -H \"Authorization: Bearer $HALO_API_TOKEN\" \\\n  -w '\\nHTTP Status: %{http_code}\\n'"
	return w
}

func halfred() *Words {
	w := generic()
	w.Title = "Halfred API"
	w.Created, w.Warning = "API key created", "Copy and store your API key securely. It is not shown again. You can regenerate it later, but applications using the old key will then stop working."
	w.Replace = "Revoke Key & Get New One"
	w.Home = []string{"/overview", "/projects", "/keys", "/me/keys"}
	w.Sections = []Section{
		{"", append([]Entry{{"/overview", "Overview"}}, administration...)},
		operations,
		{"Settings", []Entry{{"/me/keys", "API Keys"}, {"/account", "Account"}}},
	}
	w.try = "export HALFRED_API_KEY=\"KEY\"\ncurl -X GET \"URL/v1/models\" \\\n  -H \"Authorization: Bearer $HALFRED_API_KEY\""
	return w
}

func haplo() *Words {
	w := generic()
	w.Title, w.Key, w.Keys = "Haplo API", "API key", "API keys"
	w.Start, w.Submit, w.NameField, w.PathsField = "Create API key", "Create API key", "API Key Name", "Request path"
	w.Created, w.Warning = "API key created", "Copy the key now. It is stored as a one-way hash and cannot be found out afterwards."
	w.Replace, w.End, w.EndNow, w.Deletes = "", "Delete", "Delete", true
	w.EndEffect = "The next request of the remote system is refused."
	w.Home = []string{"/users", "/keys", "/me/keys"}
	w.Sections = []Section{
		{"", []Entry{{"/users", "Users"}, {"/service-users", "Service users"}, {"/keys", "API keys"}, {"/overview", "Overview"}, {"/projects", "Projects"}, {"/clients", "OAuth clients"}}},
		operations,
		{"Settings", []Entry{{"/me/keys", "API keys"}, {"/account", "Account"}}},
	}
	w.try = "curl --user haplo:KEY URLPATH"
	return w
}
