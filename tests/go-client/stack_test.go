package goclient

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/eu-sovereign-cloud/go-sdk/pkg/spec/schema"
	"github.com/eu-sovereign-cloud/go-sdk/secapi"
)

// stack is one of every kind that can be written, users behind what they use. All is called after its workspace, or in it.
func stack(s session, w string) []step {
	return []step{
		roles(s, w),
		assignments(s, w, w),
		workspaces(s, w),
		networks(s, w, "net"),
		gateways(s, w, "gateway"),
		routeTables(s, w, "net", "table", "gateway"),
		subnets(s, w, "net", "subnet", "table"),
		rules(s, w, "rule"),
		groups(s, w, "group", "rule"),
		publicIPs(s, w, "public"),
		nics(s, w, "nic", "networks/net/subnets/subnet", "public", "group"),
		volumes(s, w, "boot", publicImage, 1),
		instances(s, w, "web", "boot", "nic"),
		images(s, w, "workspaces/"+w+"/block-storages/boot"),
		volumes(s, w, "copy", "images/"+w, 2),
	}
}

// TestStack makes one of everything, in every way the client has, and takes it down again in order.
func TestStack(t *testing.T) {
	s := owner(t)
	steps := stack(s, "stack")
	for _, step := range steps {
		if !t.Run("begin "+step.title(), step.begin) {
			t.Fatalf("what comes behind %s needs it", step.title())
		}
	}
	t.Run("attached", func(t *testing.T) { attached(t, s) })
	t.Run("power", func(t *testing.T) { power(t, s) })
	t.Run("as they were made", func(t *testing.T) { asTheyWereMade(t, s) })
	t.Run("parents stay", func(t *testing.T) { parentsStay(t, s) })
	for _, step := range slices.Backward(steps) {
		t.Run("end "+step.title(), step.end)
	}
}

// TestStackAtOnce deletes a whole stack without waiting in between, parents among it: what is on its way out holds up nothing.
func TestStackAtOnce(t *testing.T) {
	steps := stack(owner(t), "at-once")
	for _, step := range steps {
		if !t.Run("begin "+step.title(), step.begin) {
			t.Fatalf("what comes behind %s needs it", step.title())
		}
	}
	for _, step := range slices.Backward(steps) {
		t.Run("ask "+step.title(), step.askToGo)
	}
	for _, step := range slices.Backward(steps) {
		t.Run("await "+step.title(), step.awaitGone)
	}
}

// attached says that what is used tells by whom.
func attached(t *testing.T, s session) {
	ctx := within(t)
	volume, err := s.regional.StorageV1.GetBlockStorage(ctx, named("stack", "boot"))
	must(t, "the volume", err)
	public, err := s.regional.NetworkV1.GetPublicIp(ctx, named("stack", "public"))
	must(t, "the public address", err)
	const instance = "seca.compute/v1/tenants/acme/workspaces/stack/instances/web"
	for what, reference := range map[string]*schema.Reference{"volume": volume.Status.AttachedTo, "address": public.Status.AttachedTo} {
		if reference == nil || reference.Resource != instance {
			t.Errorf("the %s is attached to %+v instead of %s", what, reference, instance)
		}
	}
	_, err = s.regional.StorageV1.CreateOrUpdateBlockStorage(ctx, newVolume("stack", "small", "images/stack", 1))
	expect(t, "a volume smaller than its image", err, secapi.ErrRequestPreconditionFailed)
	workspace, err := s.regional.WorkspaceV1.GetWorkspace(ctx, ofTenant("stack"))
	must(t, "the workspace", err)
	if workspace.Status.ResourceCount == nil || *workspace.Status.ResourceCount != 11 {
		t.Errorf("the workspace counts %v resources instead of 11", workspace.Status.ResourceCount)
	}
}

// power starts, restarts and stops the instance, by its version and without, and asks for what cannot be.
func power(t *testing.T, s session) {
	ctx := within(t)
	api := s.regional.ComputeV1
	web := newInstance("stack", "web", "boot", "nic")
	look := func() *schema.Instance {
		found, err := api.GetInstance(ctx, named("stack", "web"))
		must(t, "the instance", err)
		return found
	}
	// What the instance has come to, and that its power changed behind a moment.
	settled := func(what string, state schema.InstanceStatusPowerState, before *time.Time) *time.Time {
		_, err := api.GetInstanceUntilPowerState(ctx, named("stack", "web"), until(state))
		must(t, what+": its power", err)
		found, err := api.GetInstanceUntilState(ctx, named("stack", "web"), active)
		must(t, what+": its state", err)
		equal(t, what+": its power", found.Status.PowerState, state)
		since := found.Status.PowerStateSince
		if since == nil || before != nil && !since.After(*before) {
			t.Fatalf("%s: since %v, before since %v", what, since, before)
		}
		return since
	}
	act := func(call func(context.Context, *schema.Instance, int) error) error {
		return call(ctx, web, int(look().Metadata.ResourceVersion))
	}
	stale := func(call func(context.Context, *schema.Instance, int) error) error { return call(ctx, web, 1) }
	start, stop := doIf(api.StartInstanceWithParams), doIf(api.StopInstanceWithParams)
	restart := doIf(api.RestartInstanceWithParams)

	equal(t, "as it was made", look().Status.PowerState, schema.InstanceStatusPowerStateOff)
	expect(t, "stopping what is off", api.StopInstance(ctx, web), secapi.ErrRequestPreconditionFailed)
	expect(t, "restarting what is off", api.RestartInstance(ctx, web), secapi.ErrRequestPreconditionFailed)
	expect(t, "starting another version", stale(start), secapi.ErrRequestPreconditionFailed)
	must(t, "starting", act(start))
	since := settled("started", schema.InstanceStatusPowerStateOn, nil)
	expect(t, "starting what is on", api.StartInstance(ctx, web), secapi.ErrRequestPreconditionFailed)
	expect(t, "an image of what is in use", ofInUse(ctx, s), secapi.ErrRequestPreconditionFailed)

	expect(t, "restarting another version", stale(restart), secapi.ErrRequestPreconditionFailed)
	must(t, "restarting", act(restart))
	since = settled("restarted", schema.InstanceStatusPowerStateOn, since)
	must(t, "restarting, whatever its version", api.RestartInstance(ctx, web))
	since = settled("restarted again", schema.InstanceStatusPowerStateOn, since)

	expect(t, "stopping another version", stale(stop), secapi.ErrRequestPreconditionFailed)
	must(t, "stopping", act(stop))
	since = settled("stopped", schema.InstanceStatusPowerStateOff, since)
	must(t, "starting, whatever its version", api.StartInstance(ctx, web))
	since = settled("started again", schema.InstanceStatusPowerStateOn, since)
	must(t, "stopping, whatever its version", api.StopInstance(ctx, web))
	settled("stopped again", schema.InstanceStatusPowerStateOff, since)
	// Two of its creation and change, six of its power.
	equal(t, "its version", look().Metadata.ResourceVersion, 2+6)
}

func ofInUse(ctx context.Context, s session) error {
	_, err := s.regional.StorageV1.CreateOrUpdateImage(ctx, newImage("torn", "workspaces/stack/block-storages/boot"))
	return err
}

// asTheyWereMade changes what cannot change, of what has a place on a host; refusals_test.go has the rest.
func asTheyWereMade(t *testing.T, s session) {
	ctx := within(t)
	write := func(what string, change func(*schema.Instance)) {
		found, err := s.regional.ComputeV1.GetInstance(ctx, named("stack", "web"))
		must(t, "the instance", err)
		change(found)
		_, err = s.regional.ComputeV1.CreateOrUpdateInstance(ctx, found)
		expect(t, what, err, secapi.ErrRequestPreconditionFailed)
	}
	write("another zone", func(i *schema.Instance) { i.Spec.Zone = "b" })
	write("another size", func(i *schema.Instance) { i.Spec.SkuRef = to("skus/DL") })
	write("another region", func(i *schema.Instance) { i.Metadata.Region = "elsewhere" })
	_, err := s.regional.StorageV1.CreateOrUpdateImage(ctx, newImage("stack", "workspaces/stack/block-storages/copy"))
	expect(t, "another source of an image", err, secapi.ErrRequestPreconditionFailed)
	_, err = s.regional.StorageV1.CreateOrUpdateBlockStorage(ctx, newVolume("stack", "copy", publicImage, 3))
	expect(t, "another image of a volume", err, secapi.ErrRequestPreconditionFailed)
	_, err = s.regional.NetworkV1.CreateOrUpdateNic(ctx, newNic("stack", "nic", "networks/net/subnets/none"))
	expect(t, "another subnet of a NIC", err, secapi.ErrRequestPreconditionFailed)
	// What was sent and refused has changed nothing.
	found, err := s.regional.ComputeV1.GetInstance(ctx, named("stack", "web"))
	must(t, "the instance", err)
	equal(t, "its zone and size", found.Spec.Zone+" "+found.Spec.SkuRef.Resource, "a "+instanceSku)
}

// parentsStay says that nothing goes that something else is in, or is made of.
func parentsStay(t *testing.T, s session) {
	ctx := within(t)
	network := s.regional.NetworkV1
	for what, err := range map[string]error{
		"a workspace":      s.regional.WorkspaceV1.DeleteWorkspace(ctx, newWorkspace("stack")),
		"a network":        network.DeleteNetwork(ctx, newNetwork("stack", "net")),
		"a subnet":         network.DeleteSubnet(ctx, newSubnet("stack", "net", "subnet", "table")),
		"a volume":         s.regional.StorageV1.DeleteBlockStorage(ctx, newVolume("stack", "boot", publicImage, 1)),
		"a NIC":            network.DeleteNic(ctx, newNic("stack", "nic", "networks/net/subnets/subnet")),
		"a public address": network.DeletePublicIp(ctx, newPublicIP("stack", "public")),
		"a group":          network.DeleteSecurityGroup(ctx, newGroup("stack", "group", "rule")),
	} {
		expect(t, what+" that is used", err, secapi.ErrRequestPreconditionFailed)
	}
}
