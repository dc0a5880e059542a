// Package reablementcapacity is the service that matches people who need reablement with providers who have room for them.
package reablementcapacity

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	reablementv1 "github.com/homeward-care/homeward/proto/gen/homeward/reablement/v1"
	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/explain"
	"github.com/homeward-care/homeward/services/kit/service"
)

// Config is the environment of the service.
type Config struct {
	service.Config
	DischargeHubAddr         string        `env:"DISCHARGE_HUB_ADDR,required,notEmpty"`
	LightTouchAssessmentAddr string        `env:"LIGHT_TOUCH_ASSESSMENT_ADDR,required,notEmpty"`
	CommunityPickupAddr      string        `env:"COMMUNITY_PICKUP_ADDR,required,notEmpty"` // holds the needs, for a take-over after a restore
	HoldFor                  time.Duration `env:"HOLD_FOR" envDefault:"2h"`                // how long a hold lasts
	TimeZone                 string        `env:"TIME_ZONE" envDefault:"Europe/London"`
}

const name = "reablement-capacity"

// sweepPoll is how soon after its end a hold is cleared away; it cannot be accepted from its end on.
const sweepPoll = time.Second

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

// Wire gives a service the workers, edges and RPCs of reablement-capacity.
func Wire(svc *service.Service, cfg Config) error {
	zone, err := time.LoadLocation(cfg.TimeZone)
	if err != nil {
		return fmt.Errorf("TIME_ZONE: %w", err)
	}
	if cfg.HoldFor <= 0 {
		return fmt.Errorf("HOLD_FOR is %s; give a positive duration, for instance 2h", cfg.HoldFor)
	}
	st := &store{db: svc.DB, zone: zone}
	svc.Publish("reablement", &explain.Server{
		Aggregates: func(spell uuid.UUID) []uuid.UUID { return []uuid.UUID{spell} },
		Own:        st.explain,
	})
	svc.LoopByClock("sweep slots", sweep(st, svc.Saved), sweepPoll)
	reablementv1.RegisterReablementCapacityServiceServer(svc.RPC, &server{
		store: st, holdFor: cfg.HoldFor, now: func() time.Time { return svc.Now().In(zone) }, saved: svc.Saved,
	})
	return errors.Join(
		svc.TakesOver(service.Own{
			Type: needType, Adopt: st.adoptNeeds, Done: doubtOffers(svc.Log), HeldBy: map[string]string{"community-pickup": cfg.CommunityPickupAddr},
		}),
		svc.Consume(service.Edge{Stream: "discharge", Type: spellType, Addr: cfg.DischargeHubAddr, Handle: st.followSpells, KeepData: true, Apart: 100 * time.Millisecond}),
		svc.Consume(service.Edge{Stream: "assessment", Type: assessmentType, Addr: cfg.LightTouchAssessmentAddr, Handle: keepAssessments, KeepData: true}),
	)
}

// table says who may call what. What a provider may see and change is its own; that is checked where the record is read.
func table() authn.Table {
	hub, provider := []authn.Role{authn.HubStaff}, []authn.Role{authn.Provider}
	t := service.OpsRoles()
	t[reablementv1.ReablementCapacityService_PublishCapacity_FullMethodName] = provider
	t[reablementv1.ReablementCapacityService_FindCapacity_FullMethodName] = []authn.Role{authn.HubStaff, authn.CLSWorker, authn.CLSManager, authn.Service}
	t[reablementv1.ReablementCapacityService_RequestReablement_FullMethodName] = hub
	t[reablementv1.ReablementCapacityService_HoldCapacity_FullMethodName] = []authn.Role{authn.HubStaff, authn.Provider}
	t[reablementv1.ReablementCapacityService_AcceptHold_FullMethodName] = provider
	t[reablementv1.ReablementCapacityService_ReleaseHold_FullMethodName] = hub
	t[reablementv1.ReablementCapacityService_StartReablement_FullMethodName] = provider
	t[reablementv1.ReablementCapacityService_GetNeed_FullMethodName] = []authn.Role{authn.HubStaff, authn.CLSWorker, authn.CLSManager, authn.Provider, authn.Service}
	return t
}
