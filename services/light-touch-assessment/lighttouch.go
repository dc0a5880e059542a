// Package lighttouch is the service of the light-touch assessment: is it safe to go home now, and with what for the first days?
package lighttouch

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	assessmentv1 "github.com/homeward-care/homeward/proto/gen/homeward/assessment/v1"
	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/explain"
	"github.com/homeward-care/homeward/services/kit/service"
	"github.com/homeward-care/homeward/services/light-touch-assessment/questionsets"
)

// Config is the environment of the service.
type Config struct {
	service.Config
	DischargeHubAddr string `env:"DISCHARGE_HUB_ADDR,required,notEmpty"`
	// QuestionSet is what a request without one gets.
	QuestionSet string `env:"QUESTION_SET" envDefault:"safe-discharge-1"`
}

const name = "light-touch-assessment"

// Run runs the service until ctx ends.
func Run(ctx context.Context, cfg Config) error {
	svc, err := service.New(ctx, name, cfg.Config, table())
	if err != nil {
		return err
	}
	if err := Wire(svc, cfg); err != nil {
		return err
	}
	return svc.Run(ctx)
}

// Wire gives a service the workers, edges and RPCs of light-touch-assessment.
func Wire(svc *service.Service, cfg Config) error {
	sets, err := questionsets.Load()
	if err != nil {
		return err
	}
	current, ok := sets[cfg.QuestionSet]
	if !ok {
		return fmt.Errorf("QUESTION_SET: there is no question set %q; there are %v", cfg.QuestionSet, slices.Sorted(maps.Keys(sets)))
	}
	st := &store{db: svc.DB}
	svc.Publish("assessment", &explain.Server{
		Aggregates: func(spell uuid.UUID) []uuid.UUID { return []uuid.UUID{spell} },
		Own:        st.explain,
	})
	assessmentv1.RegisterLightTouchAssessmentServiceServer(svc.RPC, &server{
		store: st, sets: sets, current: current, now: svc.Now, saved: svc.Saved,
	})
	if err := svc.TakesOver(service.Own{
		Type: assessmentType, Adopt: adoptAssessments(svc.Log), HeldBy: map[string]string{"discharge-hub": cfg.DischargeHubAddr},
	}); err != nil {
		return err
	}
	return svc.Consume(service.Edge{
		Stream: "discharge", Type: spellType, Addr: cfg.DischargeHubAddr, Handle: st.followSpells, KeepData: true, Apart: 100 * time.Millisecond,
	})
}

// table says who may call what: hub staff assess, the teams and other services read.
func table() authn.Table {
	writes := []authn.Role{authn.HubStaff}
	reads := []authn.Role{authn.HubStaff, authn.CLSWorker, authn.CLSManager, authn.Service}
	t := service.OpsRoles()
	t[assessmentv1.LightTouchAssessmentService_RequestAssessment_FullMethodName] = writes
	t[assessmentv1.LightTouchAssessmentService_CompleteAssessment_FullMethodName] = writes
	t[assessmentv1.LightTouchAssessmentService_DeclineAssessment_FullMethodName] = writes
	t[assessmentv1.LightTouchAssessmentService_MeetCondition_FullMethodName] = writes
	t[assessmentv1.LightTouchAssessmentService_GetAssessment_FullMethodName] = reads
	t[assessmentv1.LightTouchAssessmentService_ListUnmet_FullMethodName] = reads
	return t
}
