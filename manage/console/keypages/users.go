package keypages

import (
	"keyward/manage/access"
	"keyward/manage/console/page"
	"keyward/store"
)

// seeUsers are the roles that see names of users.
const seeUsers = access.Read | access.Users

// maxSuggested is how many users the form of a key offers to choose from.
const maxSuggested = 20

// findUsers returns the names of the newest users with the text in their name.
func findUsers(r *page.Request, text string) ([]string, error) {
	users, _, err := r.Service().ListUsers(r.Context(), r.Actor, store.UserFilter{Text: text}, store.Page{Limit: maxSuggested, NewestFirst: true})
	names := make([]string, 0, len(users))
	for i := range users {
		names = append(names, users[i].Name)
	}
	return names, err
}

// suggestUsers answers the script that searches while a name is typed.
func suggestUsers(r *page.Request) error {
	names, err := findUsers(r, r.Query("q"))
	if err != nil {
		return err
	}
	return r.JSON(names)
}
