// Package prove selects the size of tests about long runs. Each has a short
// version in `make test` and a full one in `make prove ITEM=…`. It is for tests
// only.
package prove

import "os"

// Variable is the environment variable that `make prove` sets.
const Variable = "KEYWARD_PROVE"

// Size returns full under `make prove`, and short otherwise.
func Size[T any](short, full T) T {
	if os.Getenv(Variable) != "" {
		return full
	}
	return short
}
