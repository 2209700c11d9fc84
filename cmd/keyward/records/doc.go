// Package records has the commands about records: keys, users, projects, OAuth clients,
// revocations, the audit log and rate limits. They read flags and print; what an
// operator may do, and what is written, is for package manage.
package records
