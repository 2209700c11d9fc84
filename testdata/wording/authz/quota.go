// Package authz is in a file of a retired name.
package authz
