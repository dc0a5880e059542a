// Package communitypickup is the service of the CLS teams: it turns every spell that ends into exactly one outcome, keeps the six-week
// clock, and lets the teams work their pick-ups. What it decides, and why, stands in package pickup.
package communitypickup

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"time"

	"github.com/google/uuid"

	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
	"github.com/homeward-care/homeward/services/community-pickup/pickup"
	"github.com/homeward-care/homeward/services/community-pickup/places"
	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/explain"
	"github.com/homeward-care/homeward/services/kit/failpoint"
	"github.com/homeward-care/homeward/services/kit/service"
)

// Config of the service, from the environment.
type Config struct {
	service.Config
	// PlaceDir is the folder of a place's data; empty means the one that is built in under Place.
	PlaceDir       string `env:"PLACE_DIR"`
	Place          string `env:"PLACE" envDefault:"thurrock"`
	HubAddr        string `env:"DISCHARGE_HUB_ADDR,required,notEmpty"`
	AssessmentAddr string `env:"LIGHT_TOUCH_ASSESSMENT_ADDR,required,notEmpty"`
	ReablementAddr string `env:"REABLEMENT_CAPACITY_ADDR,required,notEmpty"`
}

// Stream and event types.
const (
	Stream         = "pickup"
	TaskType       = "homeward.pickup.task.v1"
	spellType      = "homeward.discharge.spell.v1"
	assessmentType = "homeward.assessment.assessment.v1"
	needType       = "homeward.reablement.need.v1"
)

// methods says who may call what. Which team's tasks somebody sees is checked where the task is read.
func methods() authn.Table {
	teams := []authn.Role{authn.CLSWorker, authn.CLSManager, authn.HubStaff}
	t := authn.Table{
		pickupv1.CommunityPickupService_GetTask_FullMethodName:        append([]authn.Role{authn.Ops, authn.Service}, teams...),
		pickupv1.CommunityPickupService_ListTasks_FullMethodName:      teams,
		pickupv1.CommunityPickupService_TakeTask_FullMethodName:       teams,
		pickupv1.CommunityPickupService_RecordContact_FullMethodName:  teams,
		pickupv1.CommunityPickupService_BookVisit_FullMethodName:      teams,
		pickupv1.CommunityPickupService_CancelVisit_FullMethodName:    teams,
		pickupv1.CommunityPickupService_CompleteTask_FullMethodName:   teams,
		pickupv1.CommunityPickupService_DecideProposal_FullMethodName: {authn.CLSManager, authn.HubStaff},
		pickupv1.CommunityPickupService_AssignTeam_FullMethodName:     {authn.CLSManager, authn.HubStaff},
		pickupv1.CommunityPickupService_ResolveContact_FullMethodName: {authn.HubStaff},
		pickupv1.CommunityPickupService_PreviewTask_FullMethodName:    {authn.HubStaff, authn.Ops, authn.Service},
	}
	maps.Copy(t, service.OpsRoles())
	return t
}

const sweepPoll = time.Second

// Run runs the service until ctx ends.
func Run(ctx context.Context, cfg Config) error {
	place, err := loadPlace(cfg)
	if err != nil {
		return err
	}
	svc, err := service.New(ctx, "community-pickup", cfg.Config, methods())
	if err != nil {
		return err
	}
	if err := Wire(svc, cfg, place); err != nil {
		return err
	}
	return svc.Run(ctx)
}

// Wire gives a service the workers, edges and RPCs of community-pickup for one place.
func Wire(svc *service.Service, cfg Config, place pickup.Place) error {
	if failpoint.Bug("session-zone") {
		place.Zone = time.UTC
	}
	st := &store{db: svc.DB, place: place, tracer: svc.TracerFor("community-pickup")}
	svc.LoopByClock("sweep deadlines", (&sweeper{store: st, saved: svc.Saved}).Step, sweepPoll)

	pickupv1.RegisterCommunityPickupServiceServer(svc.RPC, &server{store: st, now: svc.Now, saved: svc.Saved})
	svc.Publish(Stream, &explain.Server{
		Aggregates: func(spell uuid.UUID) []uuid.UUID { return []uuid.UUID{spell, taskID(spell)} },
		Own:        st.hops,
	})
	return errors.Join(
		svc.TakesOver(service.Own{
			Type: TaskType, Adopt: st.adoptTasks(svc.Log), HeldBy: map[string]string{"discharge-hub": cfg.HubAddr},
		}),
		svc.Consume(service.Edge{Stream: "discharge", Type: spellType, Addr: cfg.HubAddr, Handle: st.applyAll(readSpell)}),
		svc.Consume(service.Edge{Stream: "assessment", Type: assessmentType, Addr: cfg.AssessmentAddr, Handle: st.applyAll(readAssessment)}),
		svc.Consume(service.Edge{Stream: "reablement", Type: needType, Addr: cfg.ReablementAddr, Handle: st.applyAll(readNeed), KeepData: true}),
	)
}

func loadPlace(cfg Config) (pickup.Place, error) {
	if cfg.PlaceDir == "" {
		return places.Embedded(cfg.Place)
	}
	place, err := places.Load(os.DirFS(cfg.PlaceDir))
	if err != nil {
		return place, fmt.Errorf("PLACE_DIR %s: %w", cfg.PlaceDir, err)
	}
	return place, nil
}

// taskID is the id of a spell's one task.
func taskID(spell uuid.UUID) uuid.UUID { return uuid.MustParse(pickup.TaskID(spell.String())) }
