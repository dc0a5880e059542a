package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	opsv1 "github.com/homeward-care/homeward/proto/gen/homeward/ops/v1"
	"github.com/homeward-care/homeward/services/kit/fault"
	"github.com/homeward-care/homeward/services/kit/reconcile"
)

func listed(t *testing.T, s *reconcile.Server, req *opsv1.ListVersionsRequest) (ids []string) {
	t.Helper()
	resp, err := s.ListVersions(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range resp.GetVersions() {
		ids = append(ids, strings.TrimLeft(v.GetId()[24:], "0"))
	}
	return ids
}

func TestVersionsAreListedByIDFromWhereThePageBeforeEnded(t *testing.T) {
	e := newEdge(t)
	e.save(t, 1, 5)
	s := &reconcile.Server{DB: e.producer}
	for _, c := range []struct {
		name string
		req  *opsv1.ListVersionsRequest
		want []string
	}{
		{"first page", &opsv1.ListVersionsRequest{Type: thing, Limit: 2}, []string{"1", "2"}},
		{"next page", &opsv1.ListVersionsRequest{Type: thing, Limit: 2, AfterId: aggregate(2).String()}, []string{"3", "4"}},
		{"last page", &opsv1.ListVersionsRequest{Type: thing, Limit: 2, AfterId: aggregate(4).String()}, []string{"5"}},
		{"after the last", &opsv1.ListVersionsRequest{Type: thing, AfterId: aggregate(5).String()}, nil},
		{"another type", &opsv1.ListVersionsRequest{Type: "homeward.test.other.v1"}, nil},
		{"largest page", &opsv1.ListVersionsRequest{Type: thing, Limit: 5000}, []string{"1", "2", "3", "4", "5"}},
	} {
		if d := cmp.Diff(c.want, listed(t, s, c.req)); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

func TestWindowHoldsItsBeginningAndNotItsEnd(t *testing.T) {
	e := newEdge(t)
	begin := e.now
	for n := 1; n <= 4; n++ {
		e.save(t, n, n)
		e.now = e.now.Add(time.Second)
	}
	s := &reconcile.Server{DB: e.producer}
	at := func(seconds int) *timestamppb.Timestamp {
		return timestamppb.New(begin.Add(time.Duration(seconds) * time.Second))
	}
	for _, c := range []struct {
		name string
		req  *opsv1.ListVersionsRequest
		want []string
	}{
		{"both", &opsv1.ListVersionsRequest{Type: thing, ChangedSince: at(1), ChangedBefore: at(3)}, []string{"2", "3"}},
		{"since", &opsv1.ListVersionsRequest{Type: thing, ChangedSince: at(2)}, []string{"3", "4"}},
		{"before", &opsv1.ListVersionsRequest{Type: thing, ChangedBefore: at(2)}, []string{"1", "2"}},
		{"page of a window", &opsv1.ListVersionsRequest{Type: thing, ChangedSince: at(1), Limit: 1, AfterId: aggregate(2).String()}, []string{"3"}},
	} {
		if d := cmp.Diff(c.want, listed(t, s, c.req)); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

func TestWrongQuestionsNameTheField(t *testing.T) {
	e := newEdge(t)
	s := &reconcile.Server{DB: e.producer}
	for field, req := range map[string]*opsv1.ListVersionsRequest{
		"limit: is -1":                  {Type: thing, Limit: -1},
		"limit: is 5001":                {Type: thing, Limit: 5001},
		"after_id: is not a UUID; pass": {Type: thing, AfterId: "x"},
	} {
		if _, err := s.ListVersions(t.Context(), req); !fault.Is(err, fault.Invalid) || !strings.HasPrefix(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	many := make([]string, 1001)
	for i := range many {
		many[i] = aggregate(i).String()
	}
	for want, ids := range map[string][]string{"ids: holds 1001": many, "ids: entry 1": {aggregate(1).String(), "x"}} {
		if _, err := s.GetSnapshots(t.Context(), &opsv1.GetSnapshotsRequest{Type: thing, Ids: ids}); !fault.Is(err, fault.Invalid) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestSnapshotsAreTheCurrentOnesAndWhatIsNotHeldIsLeftOut(t *testing.T) {
	e := newEdge(t)
	e.save(t, 1, 2)
	e.save(t, 2, 2)
	s := &reconcile.Server{DB: e.producer}
	resp, err := s.GetSnapshots(t.Context(), &opsv1.GetSnapshotsRequest{Type: thing, Ids: []string{aggregate(2).String(), aggregate(9).String()}})
	if err != nil {
		t.Fatal(err)
	}
	if len(resp.GetSnapshots()) != 1 {
		t.Fatalf("snapshots %v", resp)
	}
	p := resp.GetSnapshots()[0]
	if p.GetId() != aggregate(2).String() || p.GetKey() != p.GetId() || p.GetVersion() != 2 || p.GetEpoch() != 1 || p.GetType() != thing ||
		!p.GetRecordedAt().AsTime().Equal(e.now) || !p.GetOccurredAt().AsTime().Equal(e.now) || string(p.GetData()) != "x" {
		t.Errorf("snapshot %v", p)
	}
}
