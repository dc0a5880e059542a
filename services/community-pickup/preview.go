package communitypickup

import (
	"context"

	"github.com/google/uuid"

	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
	"github.com/homeward-care/homeward/services/community-pickup/pickup"
	"github.com/homeward-care/homeward/services/kit/fault"
)

// PreviewTask tells what the rules would decide about a spell as it would be, on top of all else that the task holds. Nothing is stored.
func (s *server) PreviewTask(ctx context.Context, req *pickupv1.PreviewTaskRequest) (*pickupv1.PreviewTaskResponse, error) {
	id, err := uuid.Parse(req.GetSpell().GetSpellId())
	if err != nil {
		return nil, fault.Field("spell", "has a spell_id that is not a UUID")
	}
	resp := &pickupv1.PreviewTaskResponse{}
	var before *pickup.Task
	stamp := pickup.Stamp{Epoch: 1, Version: 1}
	switch found, err := s.store.task(ctx, taskID(id)); {
	case err == nil:
		before, resp.Before = &found.task, taskToProto(found.task)
		if spell := found.task.Inputs.Spell; spell != nil {
			stamp = pickup.Stamp{Epoch: spell.Epoch, Version: spell.Version + 1} // newer than what it rests on
		}
	case !fault.Is(err, fault.NotFound):
		return nil, err
	}
	in := pickup.Inputs{Spell: spellFromProto(req.GetSpell(), stamp)}
	if err := in.Validate(); err != nil {
		return nil, fault.Field("spell", "%v", err)
	}
	resp.After = taskToProto(pickup.Decide(s.store.place, before, in, s.now()))
	return resp, nil
}
