package authn

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/homeward-care/homeward/services/kit/fault"
)

// Table says which roles may call which gRPC method, by its full name `/package.Service/Method`. A method that is not in it may be called
// by nobody. What a caller may see within a method (own team, own provider) is checked where the record is read.
type Table map[string][]Role

// open are the methods that need no token: they tell nothing about anybody.
var open = []string{
	"/grpc.health.v1.Health/",
	"/grpc.reflection.v1.ServerReflection/",
	"/grpc.reflection.v1alpha.ServerReflection/",
}

func isOpen(method string) bool {
	return slices.ContainsFunc(open, func(prefix string) bool { return strings.HasPrefix(method, prefix) })
}

// CheckComplete reports methods that are registered without a row, and rows without a method.
func (t Table) CheckComplete(services map[string]grpc.ServiceInfo) error {
	registered := map[string]bool{}
	var wrong []string
	for service, info := range services {
		for _, m := range info.Methods {
			full := "/" + service + "/" + m.Name
			registered[full] = true
			if _, ok := t[full]; !ok && !isOpen(full) {
				wrong = append(wrong, full+" has no row")
			}
		}
	}
	for full := range t {
		if !registered[full] {
			wrong = append(wrong, full+" is not a registered method")
		}
	}
	if len(wrong) > 0 {
		slices.Sort(wrong)
		return fmt.Errorf("method table: %s", strings.Join(wrong, "; "))
	}
	return nil
}

// authorise returns the context of a call with its principal, or the fault that refuses it.
func (t Table) authorise(ctx context.Context, v *Verifier, method string) (context.Context, error) {
	if isOpen(method) {
		return ctx, nil
	}
	md, _ := metadata.FromIncomingContext(ctx)
	token, found := "", false
	if h := md.Get("authorization"); len(h) == 1 {
		token, found = strings.CutPrefix(h[0], "Bearer ")
	}
	if !found {
		return nil, fault.New(fault.Unauthenticated, "send the header `authorization: Bearer <token>`")
	}
	p, err := v.Verify(token)
	if err != nil {
		return nil, err
	}
	if !p.Has(t[method]...) {
		return nil, fault.New(fault.Forbidden, "%s needs one of the roles %v", method, t[method])
	}
	return With(ctx, p), nil
}

// Unary is the interceptor for unary methods.
func (t Table) Unary(v *Verifier) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		ctx, err := t.authorise(ctx, v, info.FullMethod)
		if err != nil {
			return nil, err
		}
		return handler(ctx, req)
	}
}

// Stream is the interceptor for streaming methods: only the open ones, health and reflection, stream.
func (t Table) Stream() grpc.StreamServerInterceptor {
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		if !isOpen(info.FullMethod) {
			return fault.New(fault.Forbidden, "%s is not offered", info.FullMethod)
		}
		return handler(srv, ss)
	}
}
