// Package page has what every page of the console is made of: its route, the request
// with its actor, the templates around it, forms, and the pages of errors. It decides
// nothing about what an actor may do: [manage.Service] does, and a [Route] repeats of it
// what is needed to leave out links that lead nowhere.
//
// A page is rendered into memory before anything is sent, so that a failure is an error
// page and never half a page. It has a secret in the one answer that shows it.
package page
