package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
	"github.com/homeward-care/homeward/services/discharge-hub/mllp"
)

// pattern is how messages are offered: over how many connections, and at what rate; 0 is as fast as they are answered. Beside them are slow
// connections, whose one message never ends.
type pattern struct {
	connections int
	rate        float64
	slow        int
}

func saturate(connections int) pattern { return pattern{connections: connections} }
func paced(connections int, rate float64) pattern {
	return pattern{connections: connections, rate: rate}
}
func besideSlow(connections int) pattern { return pattern{connections: connections, slow: 1} }

// generator makes discharges of people who each have a spell of their own.
type generator struct {
	run  string
	next atomic.Int64
}

var practices = []struct{ code, postcode string }{
	{"F81155", "RM17 5AA"}, {"F81010", "RM15 4AB"}, {"F81153", "SS17 0AB"}, {"F81110", "RM18 8AB"},
}

func (g *generator) message() []byte {
	n := g.next.Add(1)
	id := g.run + strconv.FormatInt(n, 36)
	home := practices[n%int64(len(practices))]
	now := time.Now()
	at := now.Format("20060102150405")
	b := &hl7.Builder{}
	b.Set("MSH-3", "MSEPAS").Set("MSH-4", "RAJ").Set("MSH-5", "THURROCK-HUB").Set("MSH-6", "THURROCK").Set("MSH-7", at).
		SetRaw("MSH-9", "ADT^A03").Set("MSH-10", id).Set("MSH-11", "P").Set("MSH-12", "2.4")
	b.Set("EVN-1", "A03").Set("EVN-2", at)
	b.SetRaw("PID-3", nhsNumber(n)+"^^^NHS^NH~"+strconv.FormatInt(1000000+n, 10)+"^^^RAJ^PI").SetRaw("PID-5", "TESTER^Ada").Set("PID-7", "19410312").
		SetRaw("PID-11", "1 EXAMPLE ROAD^^EXAMPLE TOWN^^"+home.postcode+"^GBR^H").Set("PID-30", "N")
	b.SetRaw("PD1-3", "A PRACTICE^^"+home.code+"^^^NHS^ODS")
	b.Set("PV1-2", "I").SetRaw("PV1-3", "ELM^B2^04^RAJ12").Set("PV1-19", "V"+id).Set("PV1-36", "1").Set("PV1-37", "19").
		Set("PV1-44", now.AddDate(0, 0, -6).Format("20060102150405")).Set("PV1-45", at)
	return b.Bytes()
}

// offer sends messages until the time is over and returns how many were accepted.
func offer(ctx context.Context, addr string, g *generator, p pattern, load time.Duration) (int64, error) {
	var accepted atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, p.connections+p.slow)
	end := time.Now().Add(load)
	for range p.slow {
		wg.Go(func() {
			if err := drip(ctx, addr, g.message(), end); err != nil {
				errs <- err
			}
		})
	}
	for i := range p.connections {
		wg.Go(func() {
			if err := converse(ctx, addr, g, p, i, end, &accepted); err != nil {
				errs <- err
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		return accepted.Load(), err
	default:
		return accepted.Load(), nil
	}
}

// dripEvery is how long a slow connection rests after each byte: a message would take it half a minute.
const dripEvery = 50 * time.Millisecond

// drip sends a message byte by byte until the time is over, and hangs up before the message is whole.
func drip(ctx context.Context, addr string, message []byte, end time.Time) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	for i := 0; ctx.Err() == nil && time.Now().Before(end); i++ {
		one := byte(0x0b)
		if i > 0 {
			one = message[min(i-1, len(message)-1)]
		}
		if _, err := conn.Write([]byte{one}); err != nil {
			return fmt.Errorf("the slow connection: %w", err)
		}
		time.Sleep(dripEvery)
	}
	return ctx.Err()
}

func converse(ctx context.Context, addr string, g *generator, p pattern, n int, end time.Time, accepted *atomic.Int64) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	in := mllp.NewReader(conn, 0)
	var each time.Duration
	next := time.Now()
	if p.rate > 0 {
		each = time.Duration(float64(time.Second) * float64(p.connections) / p.rate)
		next = next.Add(each * time.Duration(n) / time.Duration(p.connections))
	}
	for ctx.Err() == nil && time.Now().Before(end) {
		if each > 0 {
			time.Sleep(time.Until(next))
			next = next.Add(each)
		}
		if _, err := conn.Write(mllp.Frame(g.message())); err != nil {
			return err
		}
		raw, err := in.Next()
		if errors.Is(err, io.EOF) {
			return errors.New("the hub closed the connection")
		}
		if err != nil {
			return err
		}
		ack, err := hl7.Parse(raw)
		if err != nil {
			return err
		}
		if code := ack.Get("MSA-1").Text(); code != "AA" {
			return fmt.Errorf("answered %s: %s", code, ack.Get("MSA-3").Text())
		}
		accepted.Add(1)
	}
	return ctx.Err()
}

// nhsNumber is one of the synthetic NHS numbers, which begin with 999. One stem in eleven has no check digit: the next has.
func nhsNumber(n int64) string {
	for number := n * 10; ; number++ {
		if text := fmt.Sprintf("999%07d", number%10_000_000); discharge.ValidNHSNumber(text) {
			return text
		}
	}
}
