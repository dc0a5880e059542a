package storm

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/homeward-care/homeward/tools/devstack/stack"
)

// network is a bridge with a network namespace for each node of a cluster: what stands between machines. It needs the right to make them,
// as root has it, and `ip` (Debian and Ubuntu: apt-get install iproute2).
type network struct{ prefix string }

const nodes = 3

// hostOf is a node's address, of the block that is kept for tests of networks (RFC 2544).
func hostOf(node int) string { return fmt.Sprintf("198.18.77.%d", node) }

func (n network) namespace(node int) string { return fmt.Sprintf("%s-%d", n.prefix, node) }

// cable is the end of a node's wire at the bridge.
func (n network) cable(node int) string { return fmt.Sprintf("%s-w%d", n.prefix, node) }

func (n network) make() error {
	err := ip("link", "add", n.prefix, "type", "bridge")
	err = errors.Join(err, ip("addr", "add", "198.18.77.254/24", "dev", n.prefix), ip("link", "set", n.prefix, "up"))
	for node := 1; node <= nodes; node++ {
		ns := n.namespace(node)
		err = errors.Join(err,
			ip("netns", "add", ns),
			ip("link", "add", n.cable(node), "type", "veth", "peer", "name", "eth0", "netns", ns),
			ip("link", "set", n.cable(node), "master", n.prefix, "up"),
			ip("-n", ns, "addr", "add", hostOf(node)+"/24", "dev", "eth0"),
			ip("-n", ns, "link", "set", "eth0", "up"),
			ip("-n", ns, "link", "set", "lo", "up"))
	}
	return err
}

func (n network) remove() error {
	var err error
	for node := 1; node <= nodes; node++ {
		err = errors.Join(err, ip("netns", "del", n.namespace(node)))
	}
	return errors.Join(err, ip("link", "del", n.prefix))
}

// nodes are the stack's.
func (n network) nodes() []stack.NATSNode {
	var all []stack.NATSNode
	for node := 1; node <= nodes; node++ {
		all = append(all, stack.NATSNode{Host: hostOf(node), Enter: []string{"ip", "netns", "exec", n.namespace(node)}})
	}
	return all
}

// isolate cuts a node off from everybody.
func (n network) isolate(node int) (func() error, error) {
	return func() error { return ip("link", "set", n.cable(node), "up") }, ip("link", "set", n.cable(node), "down")
}

// part cuts a node off from the others, while services still reach it.
func (n network) part(node int) (func() error, error) {
	route := func(what string) error {
		var err error
		for other := 1; other <= nodes; other++ {
			if other != node {
				err = errors.Join(err, ip("-n", n.namespace(node), "route", what, "blackhole", hostOf(other)+"/32"))
			}
		}
		return err
	}
	return func() error { return route("del") }, route("add")
}

func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// clusterFaults part the cluster, and restart it while it works.
func (s *storm) clusterFaults() []fault {
	of := func(do func(int) (func() error, error), leader bool) func(context.Context, *rand.Rand) (func() error, error) {
		return func(ctx context.Context, r *rand.Rand) (func() error, error) {
			node := 1 + r.IntN(nodes)
			if leader {
				name, err := s.leader(ctx, streams[r.IntN(len(streams))])
				if err != nil {
					return nil, errAway
				}
				node = int(name[len(name)-1] - '0')
			}
			s.note("  it is nats-%d", node)
			return do(node)
		}
	}
	return []fault{
		{"partition: a node from everybody", "cluster", of(s.network.isolate, false)},
		{"partition: a leader from everybody", "cluster", of(s.network.isolate, true)},
		{"partition: a node from the others", "cluster", of(s.network.part, false)},
		{"partition: a leader from the others", "cluster", of(s.network.part, true)},
		{"rolling restart", "cluster", func(ctx context.Context, _ *rand.Rand) (func() error, error) { return nil, s.roll(ctx) }},
	}
}

// roll restarts one node after another, each when the one before is whole again.
func (s *storm) roll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, recovery)
	defer cancel()
	for node := 1; node <= nodes; node++ {
		err := s.stack.Part(fmt.Sprintf("nats-%d", node)).Restart(ctx)
		if err = errors.Join(err, s.untilWhole(ctx)); err != nil {
			return err
		}
	}
	return nil
}

// streams are those of the four services.
var streams = []string{"discharge", "assessment", "reablement", "pickup"}

// replicate is what the operator of a cluster does: it makes each stream's messages live on all nodes.
func (s *storm) replicate(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, recovery)
	defer cancel()
	for _, name := range streams {
		if err := until(ctx, func() error {
			return s.operate(func(js jetstream.JetStream) error {
				stream, err := js.Stream(ctx, name)
				if err != nil {
					return err
				}
				config := stream.CachedInfo().Config
				config.Replicas = nodes
				_, err = js.UpdateStream(ctx, config)
				return err
			})
		}); err != nil {
			return fmt.Errorf("replicate %s: %w", name, err)
		}
	}
	return s.untilWhole(ctx)
}

// untilWhole waits until every stream has a leader, and followers that have caught up.
func (s *storm) untilWhole(ctx context.Context) error {
	return until(ctx, func() error {
		return s.operate(func(js jetstream.JetStream) error {
			for _, name := range streams {
				stream, err := js.Stream(ctx, name)
				if err != nil {
					return err
				}
				cluster := stream.CachedInfo().Cluster
				if cluster == nil || cluster.Leader == "" || len(cluster.Replicas) != nodes-1 ||
					slices.ContainsFunc(cluster.Replicas, func(p *jetstream.PeerInfo) bool { return !p.Current || p.Offline }) {
					return fmt.Errorf("stream %s is not whole: %+v", name, cluster)
				}
			}
			return nil
		})
	})
}

func (s *storm) leader(ctx context.Context, stream string) (name string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err = s.operate(func(js jetstream.JetStream) error {
		found, err := js.Stream(ctx, stream)
		if err != nil {
			return err
		}
		cluster := found.CachedInfo().Cluster
		if cluster == nil || cluster.Leader == "" {
			return errAway
		}
		name = cluster.Leader
		return nil
	})
	return name, err
}

// operate does something at the courier as one of the services, whose rights suffice for it.
func (s *storm) operate(do func(jetstream.JetStream) error) error {
	user, password := s.stack.Courier()
	conn, err := nats.Connect(s.stack.NATS, nats.UserInfo(user, password), nats.Timeout(time.Second))
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	return do(js)
}
