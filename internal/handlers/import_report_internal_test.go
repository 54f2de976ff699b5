package handlers

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// A cut that was begun before the report ended, and goes on when the exchange of its request serves
// another one, touches nothing of it.
func TestCutOfAReportOutlivesItsRequest(t *testing.T) {
	t.Parallel()
	for name, over := range map[string]bool{"closed": false, "over": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := &exchange{
				ResponseWriter: httptest.NewRecorder(),
				request:        httptest.NewRequest(http.MethodPost, "/", nil),
				body:           new(requestBody),
			}
			p := startReport(x)
			p.close()
			// This is what the cut has seen before it got to mu, if it was slow.
			p.done = make(chan struct{})
			p.over = over
			*x = exchange{}
			p.cut()
			if x.sending != nil {
				t.Error("the exchange of another request has an answer")
			}
		})
	}
}
