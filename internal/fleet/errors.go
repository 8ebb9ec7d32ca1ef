// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"errors"
	"time"
)

// Class says what a failed outside call means for what happens next.
type Class int

// The three classes. An error that nobody classified is Unknown: for a call that
// creates something this is the only safe reading.
const (
	// Unknown: it may have happened. Look by key before anything else.
	Unknown Class = iota
	// Transient: nothing was done. Retry with back-off.
	Transient
	// Permanent: nothing exists and retrying will not help. Tell the user.
	Permanent
)

// String names the class for logs and metrics.
func (c Class) String() string {
	return [...]string{"unknown", "transient", "permanent"}[c]
}

// Sentinels, matched with errors.Is.
var (
	// ErrNotFound: the platform or coordinator says that the thing does not exist.
	ErrNotFound = errors.New("not found")
	// ErrNotOurs: the thing exists but does not carry our key; it is never touched.
	ErrNotOurs = errors.New("not proven to be ours")
	// ErrAlreadyStarted: the instance was started before; nothing was done.
	ErrAlreadyStarted = errors.New("already started")
	// ErrUnauthorized: the credential was refused.
	ErrUnauthorized = errors.New("credential refused")
	// ErrUnreachable: no answer came, or one that only means: later.
	ErrUnreachable = errors.New("not reachable")
)

// CallError is a failed outside call with its class. UserText, when set, is one
// plain sentence that may be shown in a job's log; it never holds a secret.
type CallError struct {
	Class      Class
	RetryAfter time.Duration // what the other side asked for; 0 = nothing
	UserText   string
	Err        error
}

// Error implements error.
func (e *CallError) Error() string { return e.Err.Error() }

// Unwrap implements errors.Unwrap.
func (e *CallError) Unwrap() error { return e.Err }

// ClassOf gives the class of an error: that of the outermost CallError in its
// chain; Unknown for everything else, a cancelled context included.
func ClassOf(err error) Class {
	if e, ok := errors.AsType[*CallError](err); ok {
		return e.Class
	}
	return Unknown
}

// RetryAfterOf gives how long the other side asked us to wait; 0 if it did not.
func RetryAfterOf(err error) time.Duration {
	if e, ok := errors.AsType[*CallError](err); ok {
		return e.RetryAfter
	}
	return 0
}

// UserTextOf gives the sentence for the job's log that an error carries, or "".
func UserTextOf(err error) string {
	if e, ok := errors.AsType[*CallError](err); ok {
		return e.UserText
	}
	return ""
}

// IsCut tells whether a call ended because we stopped waiting for it.
func IsCut(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
