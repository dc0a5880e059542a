package sim

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	opsv1 "github.com/homeward-care/homeward/proto/gen/homeward/ops/v1"
	"github.com/homeward-care/homeward/services/kit/fault"
)

// registry is a process's gRPC server without a network: what it registered, by full method name.
type registry map[string]method

type method struct {
	impl    any
	handler func(srv any, ctx context.Context, dec func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error)
}

func (r registry) RegisterService(desc *grpc.ServiceDesc, impl any) {
	for _, m := range desc.Methods {
		r["/"+desc.ServiceName+"/"+m.MethodName] = method{impl, m.Handler}
	}
}

// wire is a gRPC connection to whatever process of a service is there. Requests and answers cross it as bytes.
type wire struct {
	w  *world
	to string
}

// walkPage is how many versions a peer lists at once, so that a dozen spells are several pages of a reconciliation.
const walkPage = 4

var errAway = status.Error(codes.Unavailable, "simulation: nobody answers")

// Invoke makes a call at the moment that the scheduler chooses: it may find nobody, be made twice, or lose its answer.
func (c wire) Invoke(ctx context.Context, name string, req, resp any, _ ...grpc.CallOption) error {
	fr := frameOf(ctx)
	v := c.w.sched.reach(fr, point{calling, "call " + shortMethod(name)})
	if v.err != nil {
		return errAway
	}
	p := c.w.processOf(c.to, name)
	if p == nil {
		return errAway
	}
	if walk, ok := req.(*opsv1.ListVersionsRequest); ok {
		walk = proto.CloneOf(walk)
		walk.Limit = walkPage
		req = walk
	}
	body, err := proto.Marshal(req.(proto.Message))
	if err != nil {
		return err
	}
	var answer any
	for range max(v.times, 1) {
		answer, err = p.serve(withFrame(ctx, fr.flow, p), name, body)
	}
	if v.lose || p.dead.Load() {
		return errAway
	}
	if err != nil {
		return fault.Status(err).Err()
	}
	if body, err = proto.Marshal(answer.(proto.Message)); err != nil {
		return err
	}
	return proto.Unmarshal(body, resp.(proto.Message))
}

// NewStream is not used by any service.
func (c wire) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, status.Error(codes.Unimplemented, "simulation: no streams")
}

// serve answers one call.
func (p *process) serve(ctx context.Context, name string, body []byte) (any, error) {
	m, ok := p.rpc[name]
	if !ok {
		return nil, fmt.Errorf("simulation: %s does not serve %s", p.node.service, name)
	}
	return m.handler(m.impl, ctx, func(req any) error { return proto.Unmarshal(body, req.(proto.Message)) }, nil)
}

func shortMethod(name string) string {
	for i := len(name) - 1; i >= 0; i-- {
		if name[i] == '/' {
			return name[i+1:]
		}
	}
	return name
}
