// Package registry changes the records of which there are few, and which only
// administrators change: projects. It checks them and makes their audit entries;
// package manage lends it what every change goes through, and is its only user.
package registry
