package goclient

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/eu-sovereign-cloud/go-sdk/pkg/spec/schema"
	"github.com/eu-sovereign-cloud/go-sdk/secapi"
	"github.com/eu-sovereign-cloud/go-sdk/secapi/builders"
)

// class is why something is refused. Which status says so is the server's setting: by the specification, or as this client takes it,
// which knows no 422 (docs/seca.md, "Statuses of refused requests").
type class struct{ client, spec error }

var (
	invalid     = class{secapi.ErrRequestPreconditionFailed, secapi.ErrUnknowError}
	conflicting = class{secapi.ErrRequestPreconditionFailed, secapi.ErrConflictingRequest}
	orphaned    = class{secapi.ErrRequestPreconditionFailed, secapi.ErrResourceNotFound}
	stale       = class{secapi.ErrRequestPreconditionFailed, secapi.ErrRequestPreconditionFailed}
	missing     = class{secapi.ErrResourceNotFound, secapi.ErrResourceNotFound}
	malformed   = class{secapi.ErrInvalidRequest, secapi.ErrInvalidRequest}
)

// refused is what the client makes of a refusal of this class.
func (c class) refused() error {
	if os.Getenv("REMPART_STATUS_TABLE") == "spec" {
		return c.spec
	}
	return c.client
}

// from is a resource with one thing changed.
func from[R any](resource *R, change func(*R)) *R {
	change(resource)
	return resource
}

// refuser tells of what was done and should not have been.
type refuser struct {
	t   *testing.T
	ctx context.Context
}

// write says that a write is refused, and why.
func write[R any](r refuser, what string, why class, put func(context.Context, *R) (*R, error), resource *R) {
	r.t.Helper()
	_, err := put(r.ctx, resource)
	expect(r.t, what, err, why.refused())
}

// remove says that a deletion is refused.
func remove[R any](r refuser, what string, why class, call func(context.Context, *R) error, resource *R) {
	r.t.Helper()
	expect(r.t, what, call(r.ctx, resource), why.refused())
}

const wrong = "refusals"

// refusing lays out what wrong requests are about, and takes it away behind the test.
func refusing(t *testing.T) (session, refuser) {
	s := owner(t)
	// No volume of these has a place, so nothing waits for a host.
	steps := []step{
		workspaces(s, wrong), networks(s, wrong, "net"), gateways(s, wrong, "gateway"),
		routeTables(s, wrong, "net", "table", "gateway"), subnets(s, wrong, "net", "subnet", "table"),
		publicIPs(s, wrong, "public"), rules(s, wrong, "rule"), groups(s, wrong, "group", "rule"),
		nics(s, wrong, "nic", "networks/net/subnets/subnet", "public", "group"),
	}
	for _, step := range steps {
		step.begin(t)
	}
	if t.Failed() {
		t.Fatal("what wrong requests are about is not there")
	}
	_, err := s.regional.StorageV1.CreateOrUpdateBlockStorage(within(t), newVolume(wrong, "disk", "", 1))
	must(t, "a volume", err)
	steps = append(steps, volumes(s, wrong, "disk", "", 1))
	ctx := within(t)
	t.Cleanup(func() {
		for _, step := range slices.Backward(steps) {
			step.askToGo(t)
		}
		for _, step := range steps {
			step.awaitGone(t)
		}
	})
	return s, refuser{t, ctx}
}

// TestRefusals sends what is wrong, one thing at a time.
func TestRefusals(t *testing.T) {
	s, r := refusing(t)
	tenantKinds(s, r)
	machineKinds(s, r)
	networkKinds(s, r)
	immutables(s, r)
	inUse(s, r)
	lists(s, r)
}

func tenantKinds(s session, r refuser) {
	role, assignment, workspace := s.global.AuthorizationV1.CreateOrUpdateRole, s.global.AuthorizationV1.CreateOrUpdateRoleAssignment,
		s.regional.WorkspaceV1.CreateOrUpdateWorkspace
	for what, name := range map[string]string{
		"capitals": "Wrong", "an underscore": "no_good", "a dash at its end": "wrong-", "two dots": "a..b", "65 characters": strings.Repeat("a", 65),
	} {
		write(r, "a name with "+what, invalid, workspace, newWorkspace(name))
	}
	write(r, "another region", invalid, workspace, from(newWorkspace("w"), func(w *schema.Workspace) { w.Metadata.Region = "elsewhere" }))
	write(r, "a long label", invalid, workspace, from(newWorkspace("w"), func(w *schema.Workspace) {
		w.Labels = schema.Labels{"key": strings.Repeat("x", 64)}
	}))
	write(r, "a long annotation", invalid, workspace, from(newWorkspace("w"), func(w *schema.Workspace) {
		w.Annotations = schema.Annotations{"key": strings.Repeat("x", 1025)}
	}))
	write(r, "an extension nobody has", invalid, workspace, from(newWorkspace("w"), func(w *schema.Workspace) {
		w.Extensions = schema.Extensions{"theirs": "x"}
	}))
	permission := func(change func(*schema.Permission)) *schema.Role {
		return from(newRole("wrong"), func(role *schema.Role) { change(&role.Spec.Permissions[0]) })
	}
	write(r, "a verb nobody knows", invalid, role, permission(func(p *schema.Permission) { p.Verb = []string{"fly"} }))
	write(r, "a provider nobody has", invalid, role, permission(func(p *schema.Permission) { p.Provider = "seca.magic" }))
	write(r, "no resources", invalid, role, permission(func(p *schema.Permission) { p.Resources = nil }))
	write(r, "no permissions", invalid, role, from(newRole("wrong"), func(role *schema.Role) { role.Spec.Permissions = nil }))
	scope := func(scope schema.RoleAssignmentScope) *schema.RoleAssignment {
		return from(newAssignment("wrong", "seca.admin"), func(a *schema.RoleAssignment) { a.Spec.Scopes = []schema.RoleAssignmentScope{scope} })
	}
	write(r, "another region's scope", invalid, assignment, scope(schema.RoleAssignmentScope{Regions: []string{"elsewhere"}}))
	write(r, "another tenant's scope", invalid, assignment, scope(schema.RoleAssignmentScope{Tenants: []string{"globex"}}))
	write(r, "nobody", invalid, assignment, from(newAssignment("wrong", "seca.admin"), func(a *schema.RoleAssignment) { a.Spec.Subs = nil }))
	_, err := s.global.AuthorizationV1.GetRole(r.ctx, ofTenant("nothing"))
	expect(r.t, "a role that is not there", err, missing.refused())
}

func machineKinds(s session, r refuser) {
	volume, image, instance := s.regional.StorageV1.CreateOrUpdateBlockStorage, s.regional.StorageV1.CreateOrUpdateImage,
		s.regional.ComputeV1.CreateOrUpdateInstance
	disk := func(change func(*schema.BlockStorageSpec)) *schema.BlockStorage {
		return from(newVolume(wrong, "wrong", "", 1), func(volume *schema.BlockStorage) { change(&volume.Spec) })
	}
	write(r, "no size", invalid, volume, disk(func(d *schema.BlockStorageSpec) { d.SizeGB = 0 }))
	write(r, "a negative size", invalid, volume, disk(func(d *schema.BlockStorageSpec) { d.SizeGB = -1 }))
	write(r, "a size out of bounds", invalid, volume, disk(func(d *schema.BlockStorageSpec) { d.SizeGB = 1_000_001 }))
	write(r, "a SKU that is not there", invalid, volume, disk(func(d *schema.BlockStorageSpec) { d.SkuRef = to("skus/none") }))
	write(r, "an image that is not there", invalid, volume, disk(func(d *schema.BlockStorageSpec) { d.SourceImageRef = pointer(to("images/none")) }))
	write(r, "a reference of another kind", invalid, volume, disk(func(d *schema.BlockStorageSpec) { d.SkuRef = to("images/le500") }))
	write(r, "a reference elsewhere", invalid, volume, disk(func(d *schema.BlockStorageSpec) { d.SkuRef.Region = "elsewhere" }))
	write(r, "a volume nowhere", orphaned, volume, newVolume("nowhere", "wrong", "", 1))

	copied := func(change func(*schema.ImageSpec)) *schema.Image {
		source := "workspaces/" + wrong + "/block-storages/disk"
		return from(newImage("wrong", source), func(image *schema.Image) { change(&image.Spec) })
	}
	write(r, "an architecture nobody has", invalid, image, copied(func(i *schema.ImageSpec) { i.CpuArchitecture = "x86_64" }))
	write(r, "a firmware nobody has", invalid, image, copied(func(i *schema.ImageSpec) { i.Boot = "coreboot" }))
	write(r, "an image of nothing", invalid, image, copied(func(i *schema.ImageSpec) {
		i.BlockStorageRef = to("workspaces/" + wrong + "/block-storages/none")
	}))

	machine := func(change func(*schema.InstanceSpec)) *schema.Instance {
		return from(newInstance(wrong, "wrong", "disk", "nic"), func(instance *schema.Instance) { change(&instance.Spec) })
	}
	write(r, "a zone that is not there", invalid, instance, machine(func(i *schema.InstanceSpec) { i.Zone = "z" }))
	write(r, "no zone", invalid, instance, machine(func(i *schema.InstanceSpec) { i.Zone = "" }))
	write(r, "a size that is not there", invalid, instance, machine(func(i *schema.InstanceSpec) { i.SkuRef = to("skus/none") }))
	write(r, "a volume that is not there", invalid, instance, machine(func(i *schema.InstanceSpec) { i.BootVolume.DeviceRef = to("none") }))
	write(r, "a bus nobody has", invalid, instance, machine(func(i *schema.InstanceSpec) { i.BootVolume.Type = "scsi" }))
	write(r, "a NIC that is not there", invalid, instance, machine(func(i *schema.InstanceSpec) { i.PrimaryNicRef = pointer(to("nics/none")) }))
	write(r, "a volume twice", invalid, instance, machine(func(i *schema.InstanceSpec) { i.DataVolumes = []schema.VolumeReference{i.BootVolume} }))
	write(r, "an endless seed", invalid, instance, machine(func(i *schema.InstanceSpec) { i.UserData = strings.Repeat("#", 65_537) }))
	write(r, "an instance nowhere", orphaned, instance, newInstance("nowhere", "wrong", "disk", ""))
	expect(r.t, "starting what is not there", s.regional.ComputeV1.StartInstance(r.ctx, newInstance(wrong, "none", "disk", "")), missing.refused())
	_, err := s.regional.ComputeV1.GetInstanceUntilState(r.ctx, named(wrong, "none"), active)
	expect(r.t, "waiting for what is not there", err, missing.refused())
}

func networkKinds(s session, r refuser) {
	api := s.regional.NetworkV1
	for what, block := range map[string]string{
		"no block": "ten.0.0.0/8", "somebody's addresses": "8.8.8.0/24", "a host's bits": "10.0.0.5/16", "no address at all": "",
	} {
		write(r, what, invalid, api.CreateOrUpdateNetwork, from(newNetwork(wrong, "wrong"), func(n *schema.Network) { n.Spec.Cidr.Ipv4 = block }))
	}
	write(r, "a network nowhere", orphaned, api.CreateOrUpdateNetwork, newNetwork("nowhere", "wrong"))
	subnet := func(change func(*schema.SubnetSpec)) *schema.Subnet {
		return from(newSubnet(wrong, "net", "wrong", "table"), func(subnet *schema.Subnet) {
			subnet.Spec.Cidr.Ipv4 = "10.0.2.0/24"
			change(&subnet.Spec)
		})
	}
	write(r, "a block out of the network", invalid, api.CreateOrUpdateSubnet, subnet(func(s *schema.SubnetSpec) { s.Cidr.Ipv4 = "10.2.0.0/24" }))
	write(r, "a block of another subnet", conflicting, api.CreateOrUpdateSubnet, subnet(func(s *schema.SubnetSpec) { s.Cidr.Ipv4 = "10.0.1.128/25" }))
	write(r, "a zone that is not there", invalid, api.CreateOrUpdateSubnet, subnet(func(s *schema.SubnetSpec) { s.Zone = "z" }))
	write(r, "a table that is not there", invalid, api.CreateOrUpdateSubnet, subnet(func(s *schema.SubnetSpec) { s.RouteTableRef = to("none") }))
	write(r, "a subnet of no network", orphaned, api.CreateOrUpdateSubnet, newSubnet(wrong, "none", "wrong", "table"))
	route := func(destination, target string) *schema.RouteTable {
		return from(newRouteTable(wrong, "net", "wrong", "gateway"), func(table *schema.RouteTable) {
			table.Spec.Routes[0] = schema.RouteSpec{DestinationCidrBlock: destination, TargetRef: to(target)}
		})
	}
	write(r, "a gateway that is not there", invalid, api.CreateOrUpdateRouteTable, route("0.0.0.0/0", "internet-gateways/none"))
	write(r, "a route to no block", invalid, api.CreateOrUpdateRouteTable, route("anywhere", "internet-gateways/gateway"))
	write(r, "a table without routes", invalid, api.CreateOrUpdateRouteTable, from(route("", ""), func(t *schema.RouteTable) { t.Spec.Routes = nil }))

	nic := func(change func(*schema.NicSpec)) *schema.Nic {
		return from(newNic(wrong, "wrong", "networks/net/subnets/subnet"), func(nic *schema.Nic) {
			nic.Spec.Addresses = []string{"10.0.1.20"}
			change(&nic.Spec)
		})
	}
	write(r, "an address out of the subnet", invalid, api.CreateOrUpdateNic, nic(func(n *schema.NicSpec) { n.Addresses = []string{"10.0.2.20"} }))
	write(r, "the subnet's last address", invalid, api.CreateOrUpdateNic, nic(func(n *schema.NicSpec) { n.Addresses = []string{"10.0.1.255"} }))
	write(r, "another NIC's address", conflicting, api.CreateOrUpdateNic, nic(func(n *schema.NicSpec) { n.Addresses = []string{"10.0.1.10"} }))
	write(r, "a subnet that is not there", invalid, api.CreateOrUpdateNic, nic(func(n *schema.NicSpec) { n.SubnetRef = to("networks/net/subnets/none") }))
	write(r, "another NIC's public address", conflicting, api.CreateOrUpdateNic, nic(func(n *schema.NicSpec) {
		n.PublicIpRefs = []schema.Reference{to("public-ips/public")}
	}))
	write(r, "a group that is not there", invalid, api.CreateOrUpdateNic, nic(func(n *schema.NicSpec) {
		n.SecurityGroupRefs = []schema.Reference{to("security-groups/none")}
	}))
	for what, spec := range map[string]schema.PublicIpSpec{
		"a version nobody has":  {Version: "IPv5"},
		"no address":            {Version: schema.IPVersionIPv4, Address: "somewhere"},
		"an address of nobody":  {Version: schema.IPVersionIPv4, Address: "198.51.100.1"},
		"an address of another": {Version: schema.IPVersionIPv6, Address: "203.0.113.1"},
	} {
		write(r, what, invalid, api.CreateOrUpdatePublicIp, from(newPublicIP(wrong, "wrong"), func(ip *schema.PublicIp) { ip.Spec = spec }))
	}
	rule := func(change func(*schema.SecurityGroupRuleSpec)) *schema.SecurityGroupRule {
		return from(newRule(wrong, "wrong"), func(rule *schema.SecurityGroupRule) { change(&rule.Spec) })
	}
	write(r, "no direction", invalid, api.CreateOrUpdateSecurityGroupRule, rule(func(r *schema.SecurityGroupRuleSpec) { r.Direction = "" }))
	write(r, "a protocol nobody has", invalid, api.CreateOrUpdateSecurityGroupRule, rule(func(r *schema.SecurityGroupRuleSpec) { r.Protocol = "sctp" }))
	write(r, "a port out of bounds", invalid, api.CreateOrUpdateSecurityGroupRule, rule(func(r *schema.SecurityGroupRuleSpec) { r.Ports.To = 65_536 }))
	write(r, "ports backwards", invalid, api.CreateOrUpdateSecurityGroupRule, rule(func(r *schema.SecurityGroupRuleSpec) { r.Ports.From = 91 }))
	write(r, "ICMP out of bounds", invalid, api.CreateOrUpdateSecurityGroupRule, rule(func(r *schema.SecurityGroupRuleSpec) {
		r.Ports, r.Protocol, r.Icmp = nil, schema.SecurityGroupRuleProtocolICMP, &schema.IcmpConfig{Type: 9}
	}))
	write(r, "a rule that is not there", invalid, api.CreateOrUpdateSecurityGroup, newGroup(wrong, "wrong", "none"))
}

// immutables changes what stays as it was made.
func immutables(s session, r refuser) {
	api := s.regional.NetworkV1
	disk := func(change func(*schema.BlockStorage)) *schema.BlockStorage {
		return from(newVolume(wrong, "disk", "", 1), change)
	}
	volume := s.regional.StorageV1.CreateOrUpdateBlockStorage
	write(r, "another SKU of a volume", invalid, volume, disk(func(v *schema.BlockStorage) { v.Spec.SkuRef = to("skus/LE5K") }))
	_, err := volume(r.ctx, disk(func(v *schema.BlockStorage) { v.Spec.SizeGB = 3 }))
	must(r.t, "a volume grows", err)
	write(r, "a volume shrinks", invalid, volume, disk(func(v *schema.BlockStorage) { v.Spec.SizeGB = 2 }))
	// The same SKU, said otherwise, is no change.
	_, err = volume(r.ctx, disk(func(v *schema.BlockStorage) { v.Spec.SizeGB, v.Spec.SkuRef = 3, to("skus/seca.le500") }))
	must(r.t, "the same SKU", err)
	write(r, "another SKU of a network", invalid, api.CreateOrUpdateNetwork, from(newNetwork(wrong, "net"), func(n *schema.Network) {
		n.Spec.SkuRef = to("skus/n5k")
	}))
	write(r, "another block of a network", invalid, api.CreateOrUpdateNetwork, from(newNetwork(wrong, "net"), func(n *schema.Network) {
		n.Spec.Cidr.Ipv4 = "10.8.0.0/16"
	}))
	write(r, "another zone of a subnet", invalid, api.CreateOrUpdateSubnet, from(newSubnet(wrong, "net", "subnet", "table"), func(s *schema.Subnet) {
		s.Spec.Zone = "b"
	}))
	write(r, "another version of an address", invalid, api.CreateOrUpdatePublicIp, from(newPublicIP(wrong, "public"), func(ip *schema.PublicIp) {
		ip.Spec.Version = schema.IPVersionIPv6
	}))
	_, err = putIf(api.CreateOrUpdateInternetGatewayWithParams)(r.ctx, &schema.InternetGateway{Metadata: at(wrong, "gateway")}, 99)
	expect(r.t, "another version of a gateway", err, stale.refused())
}

// inUse deletes what others are in, or made of.
func inUse(s session, r refuser) {
	api := s.regional.NetworkV1
	remove(r, "a workspace with something in it", conflicting, s.regional.WorkspaceV1.DeleteWorkspace, newWorkspace(wrong))
	remove(r, "a network with subnets", conflicting, api.DeleteNetwork, newNetwork(wrong, "net"))
	remove(r, "a subnet with NICs", conflicting, api.DeleteSubnet, newSubnet(wrong, "net", "subnet", "table"))
	remove(r, "an attached address", conflicting, api.DeletePublicIp, newPublicIP(wrong, "public"))
	remove(r, "a group with NICs", conflicting, api.DeleteSecurityGroup, newGroup(wrong, "group", "rule"))
}

// lists asks for lists that cannot be.
func lists(s session, r refuser) {
	api := s.regional.NetworkV1
	list := func(workspace string, options *secapi.ListOptions) error {
		iterator, err := api.ListNicsWithOptions(r.ctx, in(workspace), options)
		must(r.t, "a list that nobody asked for yet", err)
		_, err = iterator.All(r.ctx)
		return err
	}
	options := secapi.NewListOptions
	expect(r.t, "a list", list(wrong, options()), nil)
	expect(r.t, "a list of nowhere", list("nowhere", options()), missing.refused())
	expect(r.t, "pages of nothing", list(wrong, options().WithLimit(0)), malformed.refused())
	expect(r.t, "pages out of bounds", list(wrong, options().WithLimit(10_001)), malformed.refused())
	expect(r.t, "a key that is none", list(wrong, options().WithLabels(builders.NewLabelsBuilder().Equals("", "x"))), malformed.refused())
	iterator, err := api.ListSubnets(r.ctx, networkPath(wrong, "none"))
	must(r.t, "a list that nobody asked for yet", err)
	_, err = iterator.All(r.ctx)
	expect(r.t, "a list of no network", err, missing.refused())
}
