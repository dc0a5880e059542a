package dischargehub

import (
	"cmp"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// rates limit how many requests each client makes at the FHIR door, so that one that has run wild leaves room for the others. Each replica
// counts its own.
type rates struct {
	each rate.Limit

	mu       sync.Mutex
	byClient map[string]*rate.Limiter
}

// defaultRate is far above what a hospital sends: one of a thousand beds makes some messages a minute.
const defaultRate = 50

func newRates(each float64) *rates {
	return &rates{each: rate.Limit(cmp.Or(each, defaultRate)), byClient: map[string]*rate.Limiter{}}
}

// wait is how long the client has to wait before its next request; 0 when this one may pass. Two seconds' requests may come at once.
func (r *rates) wait(client string) time.Duration {
	r.mu.Lock()
	limiter := r.byClient[client]
	if limiter == nil {
		limiter = rate.NewLimiter(r.each, max(1, int(2*r.each)))
		r.byClient[client] = limiter
	}
	r.mu.Unlock()
	place := limiter.Reserve()
	wait := place.Delay()
	if wait > 0 {
		place.Cancel()
	}
	return wait
}

func tooMany(wait time.Duration) *refusal {
	refused := refuse(http.StatusTooManyRequests, "throttled", "too many requests of this client at one time; nothing was stored: send it again when Retry-After is over")
	refused.after = wait
	return refused
}
