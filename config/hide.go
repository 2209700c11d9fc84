package config

// HideEnv returns err with a text that shows the names of environment variables
// instead of their values. err comes from using the configuration.
func (c *Config) HideEnv(err error) error {
	if err == nil {
		return nil
	}
	if text := c.env.Hide(err.Error()); text != err.Error() {
		return hiddenError{text, err}
	}
	return err
}

// hiddenError is an error with another text.
type hiddenError struct {
	text string
	err  error
}

func (e hiddenError) Error() string { return e.text }
func (e hiddenError) Unwrap() error { return e.err }
