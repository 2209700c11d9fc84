//go:build race

package keystore

// raceDetector: the tests run many times slower, and sync.Pool forgets on purpose.
const raceDetector = true
