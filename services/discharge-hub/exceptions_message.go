package dischargehub

import (
	"bytes"
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/fhir"
	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
	"github.com/homeward-care/homeward/services/kit/fault"
)

// shown is the message as a person reads it, and as they give it back corrected: HL7 as it came, and JSON with a member a line.
func (m storedMessage) shown() ([]byte, error) {
	text := m.Body
	switch m.Format {
	case formatFHIR:
		var r fhir.Request
		if err := json.Unmarshal(m.Body, &r); err != nil {
			return nil, fmt.Errorf("read message %d: %w", m.ID, err)
		}
		text = r.Resource
	case formatRecordEvent:
		var req dischargev1.RecordEventRequest
		if err := proto.Unmarshal(m.Body, &req); err != nil {
			return nil, fmt.Errorf("read message %d: %w", m.ID, err)
		}
		var err error
		if text, err = (protojson.MarshalOptions{UseProtoNames: true}).Marshal(&req); err != nil {
			return nil, fmt.Errorf("show message %d: %w", m.ID, err)
		}
	default:
		return m.Body, nil
	}
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", "  "); err != nil {
		return nil, fmt.Errorf("show message %d: %w", m.ID, err)
	}
	return b.Bytes(), nil
}

// fingerOn points at the place in a message, as it is shown, that a problem is about; nil when it is about none.
func fingerOn(f format, shown []byte, p discharge.Problem) *dischargev1.Finger {
	if f != formatHL7 && p.Where != discharge.WholeMessage {
		place, ok := fhir.Locate(shown, p.Where)
		if !ok {
			return nil
		}
		return &dischargev1.Finger{Path: p.Where, Reached: place.Reached, Offset: int32(place.Offset), Length: int32(place.Length)}
	}
	path, ok := p.Path()
	if !ok {
		return nil
	}
	place, err := hl7.Locate(shown, path)
	if err != nil {
		return &dischargev1.Finger{Path: path.String()}
	}
	return &dischargev1.Finger{Path: path.String(), Reached: place.Reached.String(), Offset: int32(place.Offset), Length: int32(place.Length)}
}

// copyOf is a corrected copy of a message as it is to be stored, with its id.
func (s *server) copyOf(m storedMessage, corrected []byte) (body []byte, controlID string, err error) {
	if !m.Accepted {
		return nil, "", fault.New(fault.Precondition, "message %d was rejected, and its sender knows: have it sent again", m.ID)
	}
	switch m.Format {
	case formatFHIR:
		if body, err = fhir.Corrected(s.feeds()[m.Feed], m.Body, corrected); err != nil {
			return nil, "", fault.Field("message", "%v", err)
		}
		return body, m.ControlID, nil
	case formatRecordEvent:
		var req dischargev1.RecordEventRequest
		if err := protojson.Unmarshal(corrected, &req); err != nil {
			return nil, "", fault.Field("message", "is no RecordEventRequest in JSON: %v", err)
		}
		if req.GetFeed() != m.Feed {
			return nil, "", fault.Field("message", "feed must be %s, as in the message that it corrects", m.Feed)
		}
		if err := checkRecordEvent(&req); err != nil {
			return nil, "", err
		}
		if kinds[req.GetKind()] == discharge.KindRevokeMerge { // whether there is such a merge is asked where it is recorded
			return nil, "", fault.Field("message", "must not revoke a merge; record that with RecordEvent")
		}
		body, err := proto.MarshalOptions{Deterministic: true}.Marshal(&req)
		return body, req.GetMessageId(), err
	}
	h, err := hl7.ParseHeader(corrected)
	if err != nil {
		return nil, "", fault.Field("message", "%v", err)
	}
	return corrected, h.ControlID, nil
}
