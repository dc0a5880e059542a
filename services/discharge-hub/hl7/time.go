package hl7

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Precision says how much of a time was told.
type Precision uint8

const (
	Year Precision = iota + 1
	Month
	Day
	Hour
	Minute
	Second
)

// Time is an HL7 time (TS) with as much precision as was told; the rest is at its smallest value.
type Time struct {
	time.Time
	Precision Precision
	// Again is the second moment at which clocks showed this time, when they had gone back and no offset tells the two apart; zero of any other.
	Again time.Time
}

// ParseTime reads YYYY[MM[DD[HH[MM[SS[.S+]]]]]][+/-ZZZZ] (HL7 v2.4 chapter 2.9.47), and Z for the offset +0000, which some senders
// write after ISO 8601. Without an offset it is wall-clock time in loc. When clocks go back, a wall-clock time that comes twice is the first of the two,
// and the other one is in Again; when they go forward, one that never comes is read with the offset that held before, so it falls behind the change.
func ParseTime(s string, loc *time.Location) (Time, error) {
	body, zoned := strings.CutSuffix(s, "Z")
	offset := 0
	if i := len(s) - 5; !zoned && i >= 4 && (s[i] == '+' || s[i] == '-') {
		hh, err1 := digits(s[i+1 : i+3])
		mm, err2 := digits(s[i+3:])
		if err1 != nil || err2 != nil || hh > 14 || mm > 59 {
			return Time{}, badTime()
		}
		offset, zoned = (hh*60+mm)*60, true
		if s[i] == '-' {
			offset = -offset
		}
		body = s[:i]
	}
	nanos := 0
	if len(body) > 15 && body[14] == '.' {
		frac := body[15:]
		if len(frac) > 9 {
			frac = frac[:9]
		}
		n, err := digits(frac)
		if err != nil {
			return Time{}, badTime()
		}
		for i := len(frac); i < 9; i++ {
			n *= 10
		}
		nanos, body = n, body[:14]
	}
	parts := [6]int{0, 1, 1, 0, 0, 0}
	ends := [6]int{4, 6, 8, 10, 12, 14}
	precision := Precision(0)
	from := 0
	for i, end := range ends {
		if len(body) < end {
			break
		}
		n, err := digits(body[from:end])
		if err != nil {
			return Time{}, badTime()
		}
		parts[i], from, precision = n, end, Precision(i+1)
	}
	if precision == 0 || len(body) != from || nanos != 0 && precision != Second {
		return Time{}, badTime()
	}
	utc := time.Date(parts[0], time.Month(parts[1]), parts[2], parts[3], parts[4], parts[5], nanos, time.UTC)
	if utc.Year() != parts[0] || int(utc.Month()) != parts[1] || utc.Day() != parts[2] ||
		utc.Hour() != parts[3] || utc.Minute() != parts[4] || utc.Second() != parts[5] || parts[0] == 0 {
		return Time{}, badTime()
	}
	if zoned {
		return Time{Time: utc.Add(-time.Duration(offset) * time.Second).UTC(), Precision: precision}, nil
	}
	at, again := wallClock(utc, loc)
	return Time{at.UTC(), precision, again.UTC()}, nil
}

// wallClock returns the moment at which clocks in loc show what utc shows in UTC, and the second one where there are two.
func wallClock(utc time.Time, loc *time.Location) (at, again time.Time) {
	_, before := utc.Add(-24 * time.Hour).In(loc).Zone()
	_, after := utc.Add(24 * time.Hour).In(loc).Zone()
	early, late := utc.Add(-time.Duration(before)*time.Second), utc.Add(-time.Duration(after)*time.Second)
	_, atEarly := early.In(loc).Zone()
	_, atLate := late.In(loc).Zone()
	switch {
	case before == after || atLate != after:
		return early, time.Time{}
	case atEarly != before:
		return late, time.Time{}
	}
	return early, late
}

// FormatTime writes a moment to the second with the offset of its zone.
func FormatTime(t time.Time) string {
	return t.Format("20060102150405-0700")
}

func digits(s string) (int, error) {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, badTime()
		}
	}
	return strconv.Atoi(s)
}

func badTime() error {
	return fmt.Errorf("not an HL7 time; write YYYYMMDDHHMMSS, shorter if less is known, with an offset such as +0100 if there is one")
}
