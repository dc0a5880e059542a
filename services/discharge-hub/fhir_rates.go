package dischargehub

import (
	"cmp"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// rates limit how many requests each client makes at the FHIR door, for tokens too, so that one that has run wild leaves room for the others. Each replica
// counts its own.
type rates struct {
	each rate.Limit
	now  func() time.Time

	mu       sync.Mutex
	byClient map[string]*rate.Limiter
}

// defaultRate is far above what a hospital sends: one of a thousand beds makes some messages a minute.
const defaultRate = 50

func newRates(each float64, now func() time.Time) *rates {
	return &rates{each: rate.Limit(cmp.Or(each, defaultRate)), now: now, byClient: map[string]*rate.Limiter{}}
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
	now := r.now()
	place := limiter.ReserveN(now, 1)
	wait := place.DelayFrom(now)
	if wait > 0 {
		place.CancelAt(now)
	}
	return wait
}

// retryAfter is a wait as the header Retry-After has it, in whole seconds.
func retryAfter(wait time.Duration) string { return strconv.Itoa(int(math.Ceil(wait.Seconds()))) }

func tooMany(wait time.Duration) *refusal {
	refused := refuse(http.StatusTooManyRequests, "throttled", "too many requests of this client at one time; nothing was stored: send it again when Retry-After is over")
	refused.after = wait
	return refused
}
