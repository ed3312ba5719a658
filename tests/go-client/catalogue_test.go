package goclient

import (
	"context"
	"slices"
	"testing"

	"github.com/eu-sovereign-cloud/go-sdk/pkg/constants"
	"github.com/eu-sovereign-cloud/go-sdk/pkg/spec/schema"
	"github.com/eu-sovereign-cloud/go-sdk/pkg/types"
	"github.com/eu-sovereign-cloud/go-sdk/secapi"
	"github.com/eu-sovereign-cloud/go-sdk/secapi/builders"
)

// TestRegions reads what the region offers; its providers are what all other tests talk to.
func TestRegions(t *testing.T) {
	s := owner(t)
	ctx := within(t)
	found, err := s.global.RegionV1.GetRegion(ctx, region)
	must(t, "the region", err)
	m := found.Metadata
	equal(t, "its metadata", metadata{string(m.Kind), m.Name, m.Provider, m.Resource, m.Ref, m.Verb, m.ResourceVersion, false},
		metadata{"region", region, constants.RegionProviderV1Name, "regions/local", "seca.region/v1/regions/local", "GET", 1, false})
	if !slices.Equal(found.Spec.AvailableZones, []schema.Zone{"a", "b"}) {
		t.Errorf("its zones are %v", found.Spec.AvailableZones)
	}
	for _, name := range []string{
		constants.RegionProviderName, constants.AuthorizationProviderName, constants.WorkspaceProviderName,
		constants.ComputeProviderName, constants.StorageProviderName, constants.NetworkProviderName,
	} {
		offered := func(one schema.Provider) bool { return one.Name == name && one.Version == constants.ApiVersion1 }
		if !slices.ContainsFunc(found.Spec.Providers, offered) {
			t.Errorf("%s is not among %+v", name, found.Spec.Providers)
		}
	}

	iterator, err := s.global.RegionV1.ListRegions(ctx)
	must(t, "the regions", err)
	all, err := iterator.All(ctx)
	must(t, "the regions", err)
	if len(all) != 1 || all[0].Metadata.Name != region {
		t.Errorf("the regions are %+v", all)
	}
	// A region has no labels, so a selector selects none.
	options := secapi.NewListOptions().WithLabels(builders.NewLabelsBuilder().Equals("name", region))
	iterator, err = s.global.RegionV1.ListRegionsWithOptions(ctx, options)
	must(t, "the labelled regions", err)
	all, err = iterator.All(ctx)
	must(t, "the labelled regions", err)
	equal(t, "labelled regions", len(all), 0)
	_, err = s.global.RegionV1.GetRegion(ctx, "elsewhere")
	expect(t, "another region", err, secapi.ErrResourceNotFound)
	_, err = s.global.NewRegionalClient(ctx, "elsewhere")
	expect(t, "a client of another region", err, secapi.ErrResourceNotFound)
}

// sku is what the three kinds of them have in common.
type sku struct {
	*schema.SkuResourceMetadata
	labels schema.Labels
	size   int
}

// skus are one kind of them, as the client offers it.
type skus[R types.ResourceType] struct {
	provider, kind string
	list           func(context.Context, secapi.TenantPath) (*secapi.Iterator[R], error)
	listWith       func(context.Context, secapi.TenantPath, *secapi.ListOptions) (*secapi.Iterator[R], error)
	get            func(context.Context, secapi.TenantReference) (*R, error)
	look           func(*R) sku
	// All there are after the founding, and one of them with its tier and size.
	names      []string
	name, tier string
	size       int
}

func (k skus[R]) read(t *testing.T) {
	ctx := within(t)
	// The owner's own path and the shared one show the same.
	for _, owner := range []secapi.TenantID{tenant, shared} {
		path := secapi.TenantPath{Tenant: owner}
		iterator, err := k.list(ctx, path)
		must(t, "the SKUs", err)
		names := k.named(t, iterator)
		if !slices.Equal(names, k.names) {
			t.Errorf("the SKUs are %v instead of %v", names, k.names)
		}
		options := secapi.NewListOptions().WithLabels(builders.NewLabelsBuilder().Equals("Provider", "seca").Equals("Tier", k.tier))
		iterator, err = k.listWith(ctx, path, options)
		must(t, "the SKUs of a tier", err)
		if names := k.named(t, iterator); !slices.Equal(names, []string{k.name}) {
			t.Errorf("of tier %s are %v", k.tier, names)
		}
		// In pages of one.
		iterator, err = k.listWith(ctx, path, secapi.NewListOptions().WithLimit(1))
		must(t, "the SKUs, one by one", err)
		if names := k.named(t, iterator); !slices.Equal(names, k.names) {
			t.Errorf("one by one they are %v instead of %v", names, k.names)
		}

		found, err := k.get(ctx, secapi.TenantReference{Tenant: owner, Name: k.name})
		must(t, "a SKU", err)
		one := k.look(found)
		expected := schema.SkuResourceMetadata{
			ApiVersion: constants.ApiVersion1, Kind: schema.SkuResourceMetadataKind(k.kind), Name: k.name, Provider: k.provider,
			Ref: k.provider + "/tenants/" + string(owner) + "/skus/" + k.name, Region: region, Resource: "skus/" + k.name,
			Tenant: string(owner), Verb: "GET",
		}
		equal(t, "its metadata", *one.SkuResourceMetadata, expected)
		equal(t, "its tier", one.labels["Tier"], k.tier)
		equal(t, "its size", one.size, k.size)
		_, err = k.get(ctx, secapi.TenantReference{Tenant: owner, Name: "seca.none"})
		expect(t, "a SKU that is not there", err, secapi.ErrResourceNotFound)
	}
}

func (k skus[R]) named(t *testing.T, iterator *secapi.Iterator[R]) []string {
	t.Helper()
	all, err := iterator.All(within(t))
	must(t, "the SKUs", err)
	var names []string
	for _, one := range all {
		names = append(names, k.look(one).Name)
	}
	return names
}

// TestSkus reads sizes of instances, volumes and networks.
func TestSkus(t *testing.T) {
	s := owner(t)
	compute, storage, network := s.regional.ComputeV1, s.regional.StorageV1, s.regional.NetworkV1
	t.Run("instances", skus[schema.InstanceSku]{
		provider: constants.ComputeProviderV1Name, kind: "instance-sku",
		list: compute.ListSkus, listWith: compute.ListSkusWithOptions, get: compute.GetSku,
		look:  func(one *schema.InstanceSku) sku { return sku{one.Metadata, one.Labels, one.Spec.VCPU * one.Spec.Ram} },
		names: []string{"seca.d2xs", "seca.dl", "seca.dm", "seca.ds", "seca.dxl", "seca.dxs"},
		name:  "seca.ds", tier: "DS", size: 2 * 4,
	}.read)
	t.Run("volumes", skus[schema.StorageSku]{
		provider: constants.StorageProviderV1Name, kind: "storage-sku",
		list: storage.ListSkus, listWith: storage.ListSkusWithOptions, get: storage.GetSku,
		look:  func(one *schema.StorageSku) sku { return sku{one.Metadata, one.Labels, one.Spec.Iops} },
		names: []string{"seca.le500", "seca.le5k"},
		name:  "seca.le500", tier: "LE500", size: 500,
	}.read)
	t.Run("networks", skus[schema.NetworkSku]{
		provider: constants.NetworkProviderV1Name, kind: "network-sku",
		list: network.ListSkus, listWith: network.ListSkusWithOptions, get: network.GetSku,
		look:  func(one *schema.NetworkSku) sku { return sku{one.Metadata, one.Labels, one.Spec.Packets} },
		names: []string{"seca.n10k", "seca.n1k", "seca.n5k"},
		name:  "seca.n1k", tier: "N1K", size: 10_000,
	}.read)
}
