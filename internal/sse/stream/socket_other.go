//go:build !linux

package stream

import "errors"

func writeNow(int, []byte) (int, error) { return 0, errors.ErrUnsupported }

func discardUnread(int, []byte) {}
