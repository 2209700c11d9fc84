package authz

func begin() {}
