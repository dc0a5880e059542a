package matrix

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/homeward-care/homeward/e2e/hospital"
	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
)

// queued is somebody whose discharge comes without a number by which the stay can be told: a person takes the exception and corrects the
// message. The test message behind it is dismissed, and a message is read again.
func (s *story) queued(ctx context.Context) error {
	p := s.person("Q")
	right := p.home(s.began.Add(-24*time.Hour), nil)
	faulty := changed(right.Fields, hospital.Message{"MSH-10": right.ControlID + "F", "PV1-19": "", "PID-3": ""})
	test := changed(right.Fields, hospital.Message{"MSH-10": right.ControlID + "T", "MSH-11": "T"})
	sender := hospital.Sender{Addr: s.w.MLLP}
	defer sender.Close()
	for _, m := range []hospital.Message{faulty, test} {
		if err := sender.SendUntilAccepted(ctx, m.Encode()); err != nil {
			return err
		}
	}
	deal := func(what, kind, controlID string, do func(e *dischargev1.MessageException) error) error {
		return again(ctx, what, func() error {
			e, err := s.exception(ctx, kind, controlID)
			if err != nil {
				return err
			}
			return do(e)
		})
	}
	if err := deal("take the exception", "no-spell-key", faulty["MSH-10"], func(e *dischargev1.MessageException) error {
		_, err := s.w.hub.AssignException(ctx, &dischargev1.AssignExceptionRequest{Id: e.GetId(), Version: e.GetVersion()})
		return err
	}); err != nil {
		return err
	}
	if err := deal("correct the message", "no-spell-key", faulty["MSH-10"], func(e *dischargev1.MessageException) error {
		resp, err := s.w.hub.CorrectException(ctx, &dischargev1.CorrectExceptionRequest{Id: e.GetId(), Version: e.GetVersion(), Message: right.HL7, Note: "by telephone"})
		if err == nil && resp.GetSpellId() != right.SpellID {
			err = fmt.Errorf("corrected into spell %s, want %s", resp.GetSpellId(), right.SpellID)
		}
		return err
	}); err != nil {
		return err
	}
	s.mu.Lock()
	s.told = append(s.told, right)
	s.mu.Unlock()
	if err := deal("dismiss the test message", "test-message-on-live-feed", test["MSH-10"], func(e *dischargev1.MessageException) error {
		_, err := s.w.hub.DismissException(ctx, &dischargev1.DismissExceptionRequest{Id: e.GetId(), Version: e.GetVersion(),
			Reason: dischargev1.DismissReason_DISMISS_REASON_TEST_MESSAGE, Note: "their tester"})
		return err
	}); err != nil {
		return err
	}
	return again(ctx, "read the copy again", func() error {
		resp, err := s.w.hub.ReplayMessage(ctx, &dischargev1.ReplayMessageRequest{Key: &dischargev1.ReplayMessageRequest_ControlId{ControlId: right.ControlID}})
		if err == nil && len(resp.GetChanges()) > 0 {
			err = fmt.Errorf("the same mapping reads something else: %v", resp.GetChanges())
		}
		return err
	})
}

// changed is a message with other fields.
func changed(m, with hospital.Message) hospital.Message {
	m = maps.Clone(m)
	maps.Copy(m, with)
	return m
}

// exception is the one of a message, read in full as a person reads it.
func (s *story) exception(ctx context.Context, kind, controlID string) (*dischargev1.MessageException, error) {
	for after := int64(0); ; {
		list, err := s.w.hub.ListExceptions(ctx, &dischargev1.ListExceptionsRequest{Kind: kind, Filter: dischargev1.ExceptionFilter_EXCEPTION_FILTER_ALL, Limit: 500, AfterId: after})
		if err != nil {
			return nil, err
		}
		if len(list.GetExceptions()) == 0 {
			return nil, fmt.Errorf("no exception of %s yet", controlID)
		}
		for _, e := range list.GetExceptions() {
			if after = e.GetId(); e.GetControlId() == controlID {
				whole, err := s.w.hub.GetException(ctx, &dischargev1.GetExceptionRequest{Id: after})
				return whole.GetException(), err
			}
		}
	}
}
