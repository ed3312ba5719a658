package goclient

import (
	"context"
	"maps"
	"slices"
	"testing"

	"github.com/eu-sovereign-cloud/go-sdk/pkg/spec/schema"
	"github.com/eu-sovereign-cloud/go-sdk/pkg/types"
	"github.com/eu-sovereign-cloud/go-sdk/secapi"
	"github.com/eu-sovereign-cloud/go-sdk/secapi/builders"
)

// kind is what the client offers for one kind of resource that can be written, and one of it, in its place.
//
// R is the resource, P where it is listed, N how it is named.
type kind[R types.ResourceType, P any, N any] struct {
	// What its metadata has to say.
	kind, provider, collection, ref string
	name                            string
	path                            P
	reference                       N

	list     func(context.Context, P) (*secapi.Iterator[R], error)
	listWith func(context.Context, P, *secapi.ListOptions) (*secapi.Iterator[R], error)
	get      func(context.Context, N) (*R, error)
	until    func(context.Context, N, secapi.ResourceObserverUntilValueConfig[schema.ResourceState]) (*R, error)
	gone     func(context.Context, N, secapi.ResourceObserverConfig) error
	put      func(context.Context, *R) (*R, error)
	putIf    func(context.Context, *R, int) (*R, error)
	remove   func(context.Context, *R) error
	removeIf func(context.Context, *R, int) error
	look     func(*R) look
	made     func() *R
	alter    func(*R)
	altered  func(*R) bool
}

// look is what all kinds have in common.
type look struct {
	metadata
	labels     *schema.Labels
	state      schema.ResourceState
	conditions []schema.StatusCondition
}

// metadata is what all variants of it have in common.
type metadata struct {
	kind, name, provider, resource, ref, verb string
	version                                   int64
	going                                     bool
}

func ofGlobal(m *schema.GlobalTenantResourceMetadata) metadata {
	return metadata{string(m.Kind), m.Name, m.Provider, m.Resource, m.Ref, m.Verb, m.ResourceVersion, m.DeletedAt != nil}
}

func ofRegional(m *schema.RegionalResourceMetadata) metadata {
	return metadata{string(m.Kind), m.Name, m.Provider, m.Resource, m.Ref, m.Verb, m.ResourceVersion, m.DeletedAt != nil}
}

func ofWorkspaces(m *schema.RegionalWorkspaceResourceMetadata) metadata {
	return metadata{string(m.Kind), m.Name, m.Provider, m.Resource, m.Ref, m.Verb, m.ResourceVersion, m.DeletedAt != nil}
}

func ofNetworks(m *schema.RegionalNetworkResourceMetadata) metadata {
	return metadata{string(m.Kind), m.Name, m.Provider, m.Resource, m.Ref, m.Verb, m.ResourceVersion, m.DeletedAt != nil}
}

// looked puts together what a kind's own types say; S is its status.
func looked[S types.StatusType](metadata metadata, labels *schema.Labels, status *S) look {
	return look{metadata, labels, types.GetStatusState(status), types.GetStatusConditions(status)}
}

// versioned is what every call's parameters consist of, under a name of each call's own.
type versioned struct {
	IfUnmodifiedSince *schema.IfUnmodifiedSince `json:"if-unmodified-since,omitempty"`
}

type parameters interface {
	~struct {
		IfUnmodifiedSince *schema.IfUnmodifiedSince `json:"if-unmodified-since,omitempty"`
	}
}

// putIf is a write that is to happen to this version alone.
func putIf[R any, P parameters](call func(context.Context, *R, *P) (*R, error)) func(context.Context, *R, int) (*R, error) {
	return func(ctx context.Context, resource *R, version int) (*R, error) {
		parameters := P(versioned{&version})
		return call(ctx, resource, &parameters)
	}
}

// doIf is the same for what answers with nothing: deletions and actions.
func doIf[R any, P parameters](call func(context.Context, *R, *P) error) func(context.Context, *R, int) error {
	return func(ctx context.Context, resource *R, version int) error {
		parameters := P(versioned{&version})
		return call(ctx, resource, &parameters)
	}
}

// step is a kind in a stack: what makes it, with all that is said about it meanwhile, and what takes it down.
type step interface {
	title() string
	begin(t *testing.T)
	end(t *testing.T)
	askToGo(t *testing.T)
	awaitGone(t *testing.T)
}

func (k *kind[R, P, N]) title() string { return k.collection }

// begin makes the resource and changes it, and asks in every way the client has what became of it.
func (k *kind[R, P, N]) begin(t *testing.T) {
	ctx := within(t)
	_, err := k.get(ctx, k.reference)
	expect(t, "before it is made", err, secapi.ErrResourceNotFound)
	expect(t, "deleting what is not there", k.remove(ctx, k.made()), nil)
	_, err = k.putIf(ctx, k.labelled(), 1)
	expect(t, "a version of what is not there", err, secapi.ErrRequestPreconditionFailed)

	made, err := k.put(ctx, k.labelled())
	must(t, "creating", err)
	k.check(t, made, "PUT", 1)
	got, err := k.until(ctx, k.reference, active)
	must(t, "waiting until it is active", err)
	k.check(t, got, "GET", 1)
	k.history(t, got, schema.ResourceStateActive, schema.ResourceStateCreating, schema.ResourceStatePending)
	k.lists(t, 1)
	k.selects(t)
	k.changes(t, got)
}

// labels are those that selectors go by. One is this resource's alone, for lists hold other things, too.
func (k *kind[R, P, N]) labels(size string) schema.Labels {
	return schema.Labels{"proof": k.own(), "size": size, "team:owner": "web"}
}

func (k *kind[R, P, N]) own() string { return k.kind + "." + k.name }

func (k *kind[R, P, N]) labelled() *R {
	resource := k.made()
	*k.look(resource).labels = k.labels("3")
	return resource
}

// check says that a resource is the one, and in the words of the contract.
func (k *kind[R, P, N]) check(t *testing.T, resource *R, verb string, version int64) {
	t.Helper()
	if resource == nil {
		t.Fatalf("an answer without a resource")
	}
	expected := metadata{
		kind: k.kind, name: k.name, provider: k.provider, resource: k.collection + "/" + k.name,
		ref: k.provider + "/" + k.ref + "/" + k.collection + "/" + k.name, verb: verb, version: version,
	}
	equal(t, "metadata", k.look(resource).metadata, expected)
}

// history says which states it has gone through, the newest first.
func (k *kind[R, P, N]) history(t *testing.T, resource *R, expected ...schema.ResourceState) {
	t.Helper()
	var states []schema.ResourceState
	for _, condition := range k.look(resource).conditions {
		states = append(states, condition.State)
		if condition.LastTransitionAt.IsZero() {
			t.Errorf("a condition without a time: %+v", condition)
		}
	}
	if !slices.Equal(states, expected) {
		t.Errorf("its history is %v instead of %v", states, expected)
	}
}

// lists says how often it is in the list of its place.
func (k *kind[R, P, N]) lists(t *testing.T, expected int) {
	t.Helper()
	found := k.all(t, func(ctx context.Context) (*secapi.Iterator[R], error) { return k.list(ctx, k.path) })
	equal(t, "times in the list", count(found, k.name), expected)
}

func count(names []string, name string) int {
	found := 0
	for _, other := range names {
		if other == name {
			found++
		}
	}
	return found
}

// all is what an iterator comes to: names.
func (k *kind[R, P, N]) all(t *testing.T, call func(context.Context) (*secapi.Iterator[R], error)) []string {
	t.Helper()
	ctx := within(t)
	iterator, err := call(ctx)
	must(t, "a list", err)
	items, err := iterator.All(ctx)
	must(t, "the items of a list", err)
	var names []string
	for _, item := range items {
		names = append(names, k.look(item).name)
	}
	answered := iterator.Metadata()
	equal(t, "who answered", answered.Provider+" "+answered.Resource+" "+answered.Verb, k.provider+" "+k.collection+" GET")
	return names
}

// selects says that each of the client's terms selects it, and does not when it should not.
func (k *kind[R, P, N]) selects(t *testing.T) {
	t.Helper()
	proof := func() *builders.LabelsBuilder { return builders.NewLabelsBuilder().Equals("proof", k.own()) }
	for _, one := range []struct {
		labels   *builders.LabelsBuilder
		expected []string
	}{
		{proof(), []string{k.name}},
		{proof().NsEquals("team", "owner", "web"), []string{k.name}},
		{proof().NsEquals("team", "owner", "mail"), nil},
		{proof().Neq("size", "4"), []string{k.name}},
		{proof().Neq("size", "3"), nil},
		{proof().Gt("size", 2), []string{k.name}},
		{proof().Gt("size", 3), nil},
		{proof().Gte("size", 3).Lte("size", 3), []string{k.name}},
		{proof().Lt("size", 4), []string{k.name}},
		{proof().Lt("size", 3), nil},
		{builders.NewLabelsBuilder().Equals("proof", "*"+k.own()[1:]).Equals("si*", "3"), []string{k.name}},
		{builders.NewLabelsBuilder().Equals("proof", "nothing"), nil},
	} {
		options := secapi.NewListOptions().WithLabels(one.labels)
		found := k.all(t, func(ctx context.Context) (*secapi.Iterator[R], error) { return k.listWith(ctx, k.path, options) })
		if !slices.Equal(found, one.expected) {
			t.Errorf("%s selects %v instead of %v", one.labels.Build(), found, one.expected)
		}
	}
}

// changes writes what was read, changed, to the version that was read; and to one that is no more.
func (k *kind[R, P, N]) changes(t *testing.T, got *R) {
	t.Helper()
	ctx := within(t)
	labels := k.look(got).labels
	(*labels)["size"] = "4"
	if k.alter != nil {
		k.alter(got)
	}
	changed, err := k.putIf(ctx, got, 1)
	must(t, "changing", err)
	k.check(t, changed, "PUT", 2)
	_, err = k.putIf(ctx, got, 1)
	expect(t, "changing what has changed", err, secapi.ErrRequestPreconditionFailed)
	changed, err = k.until(ctx, k.reference, active)
	must(t, "waiting until the change is made", err)
	k.check(t, changed, "GET", 2)
	k.history(t, changed, schema.ResourceStateActive, schema.ResourceStateUpdating, schema.ResourceStateActive,
		schema.ResourceStateCreating, schema.ResourceStatePending)
	expected := k.labels("4")
	if !maps.Equal(*k.look(changed).labels, expected) {
		t.Errorf("its labels are %v instead of %v", *k.look(changed).labels, expected)
	}
	if k.alter != nil && !k.altered(changed) {
		t.Errorf("it is not what it was changed to: %+v", *changed)
	}
	expect(t, "deleting what has changed", k.removeIf(ctx, got, 1), secapi.ErrRequestPreconditionFailed)
}

// end deletes it, by its version, and waits until it is gone.
func (k *kind[R, P, N]) end(t *testing.T) {
	ctx := within(t)
	got, err := k.get(ctx, k.reference)
	must(t, "what is to go", err)
	version := int(k.look(got).version)
	expect(t, "deleting another version", k.removeIf(ctx, got, version+1), secapi.ErrRequestPreconditionFailed)
	must(t, "deleting", k.removeIf(ctx, got, version))
	k.awaitGone(t)
}

// askToGo deletes it, and waits for nothing.
func (k *kind[R, P, N]) askToGo(t *testing.T) {
	must(t, "deleting", k.remove(within(t), k.made()))
}

// awaitGone waits until nothing is left of it.
func (k *kind[R, P, N]) awaitGone(t *testing.T) {
	ctx := within(t)
	must(t, "waiting until it is gone", k.gone(ctx, k.reference, away))
	_, err := k.get(ctx, k.reference)
	expect(t, "when it is gone", err, secapi.ErrResourceNotFound)
	expect(t, "deleting what is gone", k.remove(ctx, k.made()), nil)
}
