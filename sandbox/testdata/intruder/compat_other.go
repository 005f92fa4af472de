//go:build !amd64

package main

import "errors"

func compatCall(uintptr, ...uintptr) error { return errors.ErrUnsupported }
