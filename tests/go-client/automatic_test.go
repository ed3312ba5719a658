package goclient

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/eu-sovereign-cloud/go-sdk/pkg/spec/schema"
)

// TestAutomatic asks for blocks and addresses without naming them, as far as the client lets it, and finds them in the status.
func TestAutomatic(t *testing.T) {
	s := owner(t)
	ctx := within(t)
	api := s.regional.NetworkV1
	const w = "automatic"
	steps := []step{
		workspaces(s, w), networks(s, w, "auto"), gateways(s, w, "gateway"),
		routeTables(s, w, "auto", "table", "gateway"), subnets(s, w, "auto", "subnet", "table"),
		nics(s, w, "all-zero", "networks/auto/subnets/subnet", "", ""), nics(s, w, "nothing", "networks/auto/subnets/subnet", "", ""),
	}
	t.Cleanup(func() {
		for _, step := range slices.Backward(steps) {
			step.askToGo(t)
		}
		for _, step := range steps {
			step.awaitGone(t)
		}
	})
	_, err := s.regional.WorkspaceV1.CreateOrUpdateWorkspace(ctx, newWorkspace(w))
	must(t, "a workspace", err)
	network, err := api.CreateOrUpdateNetwork(ctx, from(newNetwork(w, "auto"), func(n *schema.Network) {
		n.Spec.Cidr = schema.Cidr{Ipv4: "0.0.0.0/20", Ipv6: "::/56"}
	}))
	must(t, "a network", err)
	equal(t, "what was asked for", network.Spec.Cidr, schema.Cidr{Ipv4: "0.0.0.0/20", Ipv6: "::/56"})
	net4, net6 := block(t, network.Status.Cidr.Ipv4, 20), block(t, network.Status.Cidr.Ipv6, 56)
	_, err = api.CreateOrUpdateInternetGateway(ctx, &schema.InternetGateway{Metadata: at(w, "gateway")})
	must(t, "a gateway", err)
	_, err = api.CreateOrUpdateRouteTable(ctx, newRouteTable(w, "auto", "table", "gateway"))
	must(t, "a route table", err)
	subnet, err := api.CreateOrUpdateSubnet(ctx, from(newSubnet(w, "auto", "subnet", "table"), func(s *schema.Subnet) {
		s.Spec.Cidr = schema.Cidr{Ipv4: "0.0.0.0/24", Ipv6: "::/64"}
	}))
	must(t, "a subnet", err)
	subnet4, subnet6 := block(t, subnet.Status.Cidr.Ipv4, 24), block(t, subnet.Status.Cidr.Ipv6, 64)
	if !net4.Overlaps(subnet4) || !net6.Overlaps(subnet6) {
		t.Errorf("%v and %v are not in %v and %v", subnet4, subnet6, net4, net6)
	}

	given := map[netip.Addr]bool{}
	for name, asked := range map[string][]string{"all-zero": {"0.0.0.0", "::"}, "nothing": nil} {
		nic, err := api.CreateOrUpdateNic(ctx, from(newNic(w, name, "networks/auto/subnets/subnet"), func(n *schema.Nic) {
			n.Spec.Addresses = asked
		}))
		must(t, "a NIC", err)
		if !slices.Equal(nic.Spec.Addresses, asked) {
			t.Errorf("what was asked for is %v instead of %v", nic.Spec.Addresses, asked)
		}
		equal(t, name+": addresses", len(nic.Status.Addresses), 2)
		for _, text := range nic.Status.Addresses {
			address, err := netip.ParseAddr(text)
			must(t, "an address", err)
			if given[address] || !subnet4.Contains(address) && !subnet6.Contains(address) {
				t.Errorf("%v is given twice, or not in %v or %v", address, subnet4, subnet6)
			}
			given[address] = true
		}
	}
}

// block is one that was given: real, and of the length that was asked for.
func block(t *testing.T, text string, bits int) netip.Prefix {
	t.Helper()
	found, err := netip.ParsePrefix(text)
	must(t, "a block", err)
	if found.Bits() != bits || found.Addr().IsUnspecified() || !found.Addr().IsPrivate() {
		t.Errorf("%v is not what was asked for", found)
	}
	return found
}
