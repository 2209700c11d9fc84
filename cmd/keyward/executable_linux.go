package main

// selfExecutable returns the file that this process runs, also if another version has
// been put in its place or it has been removed.
func selfExecutable() string { return "/proc/self/exe" }
