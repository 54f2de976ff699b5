package handlers

// readAndHold reads what an answer needs, and holds the bytes that it takes. If there is no room
// for them, it drops what it has read, waits for the room, and reads again: a request that waits
// holds nothing. If the answer is likely to take more than freeAnswer bytes, it waits for the
// likely bytes before it reads.
func readAndHold[T any](
	x *exchange,
	likely int64,
	read func() (value T, size int64, err error),
) (T, error) {
	var none T
	if likely <= freeAnswer {
		value, size, err := read()
		if err != nil || size <= freeAnswer || x.delivery().try(size) {
			return value, err
		}
		likely = size
	}
	x.endWithRights() // The wait for room may take long.
	for d, held := x.delivery(), likely; ; {
		if err := d.wait(x.waitContext(), held); err != nil {
			return none, err
		}
		value, size, err := read()
		if err != nil || size <= held {
			d.shrink(size)
			return value, err
		}
		d.release() // The answer is larger than expected.
		held = size
	}
}

// holdPart holds a part of an answer, and so many bytes beside it, while the part waits for the
// client; give gives them back. If the request holds all that it has already, holdPart does
// nothing.
func (x *exchange) holdPart(part []byte, beside int64) (give func(), err error) {
	d := x.delivery()
	if d.holds() {
		return func() {}, nil
	}
	return d.release, d.hold(int64(cap(part)) + beside)
}
