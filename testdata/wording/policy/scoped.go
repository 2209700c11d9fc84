package policy

func begin() {}
