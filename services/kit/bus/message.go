package bus

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/homeward-care/homeward/services/kit/event"
)

// Header names of the CloudEvents NATS binding, binary mode, and of W3C trace context.
const (
	hSpecVersion = "ce-specversion"
	hID          = "ce-id"
	hSource      = "ce-source"
	hType        = "ce-type"
	hSubject     = "ce-subject"
	hTime        = "ce-time"
	hContentType = "content-type"
	hTraceparent = "traceparent"
	// Extension attributes.
	hEpoch    = "ce-epoch"
	hVersion  = "ce-version"
	hKey      = "ce-partitionkey"
	hOccurred = "ce-occurredat"
)

// Encode writes an event as the message that carries it. The source is the CloudEvents source, `/homeward/<service>`.
func Encode(source string, e event.Event) *nats.Msg {
	h := nats.Header{
		hSpecVersion: {"1.0"},
		hID:          {e.EventID().String()},
		hSource:      {source},
		hType:        {e.Type},
		hSubject:     {e.ID.String()},
		hTime:        {e.RecordedAt.UTC().Format(time.RFC3339Nano)},
		hContentType: {"application/protobuf"},
		hEpoch:       {strconv.FormatInt(int64(e.Epoch), 10)},
		hVersion:     {strconv.FormatInt(e.Version, 10)},
		hKey:         {e.Key.String()},
		hOccurred:    {e.OccurredAt.UTC().Format(time.RFC3339Nano)},
	}
	if tp := event.Traceparent(e.Trace); tp != "" {
		h[hTraceparent] = []string{tp}
	}
	return &nats.Msg{Subject: e.Subject(), Header: h, Data: e.Data}
}

// Decode reads an event from its headers and data. The error names every header that cannot be read.
func Decode(h nats.Header, data []byte) (event.Event, error) {
	var errs []error
	id := func(name string) uuid.UUID {
		v, err := uuid.Parse(h.Get(name))
		if err != nil {
			errs = append(errs, fmt.Errorf("header %s is not a UUID", name))
		}
		return v
	}
	number := func(name string, bits int) int64 {
		v, err := strconv.ParseInt(h.Get(name), 10, bits)
		if err != nil || v < 1 {
			errs = append(errs, fmt.Errorf("header %s is not a positive number", name))
		}
		return v
	}
	moment := func(name string) time.Time {
		v, err := time.Parse(time.RFC3339Nano, h.Get(name))
		// An offset can lead to a year of more than four digits in UTC, in which it could not be sent on.
		if v = v.UTC(); err != nil || v.Year() < 0 || v.Year() > 9999 {
			errs = append(errs, fmt.Errorf("header %s is not an RFC 3339 time", name))
		}
		return v
	}
	e := event.Event{
		Type:       h.Get(hType),
		ID:         id(hSubject),
		Key:        id(hKey),
		Epoch:      int32(number(hEpoch, 32)),
		Version:    number(hVersion, 64),
		OccurredAt: moment(hOccurred),
		RecordedAt: moment(hTime),
		Trace:      event.ParseTraceparent(h.Get(hTraceparent)),
		Data:       data,
	}
	if !event.ValidType(e.Type) {
		errs = append(errs, fmt.Errorf("header %s is not of the form homeward.<stream>.<aggregate>.v<n>", hType))
	}
	return e, errors.Join(errs...)
}
