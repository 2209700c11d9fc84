module keyward/bench/cachebench

go 1.26.0

require keyward v0.0.0

require (
	github.com/hashicorp/golang-lru/v2 v2.0.7 // indirect
	github.com/maypok86/otter/v2 v2.4.0
)

replace keyward => ../..
