package goclient

import (
	"slices"

	"github.com/eu-sovereign-cloud/go-sdk/pkg/spec/schema"
	"github.com/eu-sovereign-cloud/go-sdk/secapi"
)

// A network and what is in it: subnets, route tables, and the gateway they lead to.

const networkSku = "skus/seca.n1k"

func newNetwork(workspace, name string) *schema.Network {
	return &schema.Network{
		Metadata: at(workspace, name),
		Spec:     schema.NetworkSpec{Cidr: schema.Cidr{Ipv4: "10.0.0.0/16"}, SkuRef: to(networkSku)},
	}
}

func networks(s session, workspace, name string) *kind[schema.Network, secapi.WorkspacePath, secapi.WorkspaceReference] {
	api := s.regional.NetworkV1
	return &kind[schema.Network, secapi.WorkspacePath, secapi.WorkspaceReference]{
		kind: "network", provider: "seca.network/v1", collection: "networks", ref: inWorkspace(workspace),
		name: name, path: in(workspace), reference: named(workspace, name),
		list: api.ListNetworks, listWith: api.ListNetworksWithOptions,
		get: api.GetNetwork, until: api.GetNetworkUntilState, gone: api.WatchNetworkUntilDeleted,
		put: api.CreateOrUpdateNetwork, putIf: putIf(api.CreateOrUpdateNetworkWithParams),
		remove: api.DeleteNetwork, removeIf: doIf(api.DeleteNetworkWithParams),
		look:  func(r *schema.Network) look { return looked(ofWorkspaces(r.Metadata), &r.Labels, r.Status) },
		made:  func() *schema.Network { return newNetwork(workspace, name) },
		alter: func(r *schema.Network) { r.Spec.AdditionalCidrs = []schema.Cidr{{Ipv4: "10.1.0.0/16"}} },
		altered: func(r *schema.Network) bool {
			return r.Status.Cidr.Ipv4 == "10.0.0.0/16" && slices.Equal(r.Status.AdditionalCidrs, []schema.Cidr{{Ipv4: "10.1.0.0/16"}})
		},
	}
}

func gateways(s session, workspace, name string) *kind[schema.InternetGateway, secapi.WorkspacePath, secapi.WorkspaceReference] {
	api := s.regional.NetworkV1
	return &kind[schema.InternetGateway, secapi.WorkspacePath, secapi.WorkspaceReference]{
		kind: "internet-gateway", provider: "seca.network/v1", collection: "internet-gateways", ref: inWorkspace(workspace),
		name: name, path: in(workspace), reference: named(workspace, name),
		list: api.ListInternetGateways, listWith: api.ListInternetGatewaysWithOptions,
		get: api.GetInternetGateway, until: api.GetInternetGatewayUntilState, gone: api.WatchInternetGatewayUntilDeleted,
		put: api.CreateOrUpdateInternetGateway, putIf: putIf(api.CreateOrUpdateInternetGatewayWithParams),
		remove: api.DeleteInternetGateway, removeIf: doIf(api.DeleteInternetGatewayWithParams),
		look:    func(r *schema.InternetGateway) look { return looked(ofWorkspaces(r.Metadata), &r.Labels, r.Status) },
		made:    func() *schema.InternetGateway { return &schema.InternetGateway{Metadata: at(workspace, name)} },
		alter:   func(r *schema.InternetGateway) { r.Spec.EgressOnly = true },
		altered: func(r *schema.InternetGateway) bool { return r.Spec.EgressOnly },
	}
}

func inNetwork(workspace, network string) string {
	return inWorkspace(workspace) + "/networks/" + network
}

func inside(workspace, network, name string) *schema.RegionalNetworkResourceMetadata {
	return &schema.RegionalNetworkResourceMetadata{Tenant: tenant, Workspace: workspace, Network: network, Name: name}
}

func networkPath(workspace, network string) secapi.NetworkPath {
	return secapi.NetworkPath{Tenant: tenant, Workspace: secapi.WorkspaceID(workspace), Network: secapi.NetworkID(network)}
}

func namedInside(workspace, network, name string) secapi.NetworkReference {
	path := networkPath(workspace, network)
	return secapi.NetworkReference{Tenant: path.Tenant, Workspace: path.Workspace, Network: path.Network, Name: name}
}

func newRouteTable(workspace, network, name, gateway string) *schema.RouteTable {
	return &schema.RouteTable{
		Metadata: inside(workspace, network, name),
		Spec: schema.RouteTableSpec{Routes: []schema.RouteSpec{
			{DestinationCidrBlock: "0.0.0.0/0", TargetRef: to("internet-gateways/" + gateway)},
		}},
	}
}

func routeTables(s session, workspace, network, name, gateway string) *kind[schema.RouteTable, secapi.NetworkPath, secapi.NetworkReference] {
	api := s.regional.NetworkV1
	return &kind[schema.RouteTable, secapi.NetworkPath, secapi.NetworkReference]{
		kind: "routing-table", provider: "seca.network/v1", collection: "networks/" + network + "/route-tables",
		ref: inWorkspace(workspace), name: name, path: networkPath(workspace, network), reference: namedInside(workspace, network, name),
		list: api.ListRouteTables, listWith: api.ListRouteTablesWithOptions,
		get: api.GetRouteTable, until: api.GetRouteTableUntilState, gone: api.WatchRouteTableUntilDeleted,
		put: api.CreateOrUpdateRouteTable, putIf: putIf(api.CreateOrUpdateRouteTableWithParams),
		remove: api.DeleteRouteTable, removeIf: doIf(api.DeleteRouteTableWithParams),
		look: func(r *schema.RouteTable) look { return looked(ofNetworks(r.Metadata), &r.Labels, r.Status) },
		made: func() *schema.RouteTable { return newRouteTable(workspace, network, name, gateway) },
		alter: func(r *schema.RouteTable) {
			r.Spec.Routes = append(r.Spec.Routes, schema.RouteSpec{DestinationCidrBlock: "192.0.2.0/24", TargetRef: to("10.0.1.1")})
		},
		altered: func(r *schema.RouteTable) bool { return len(r.Status.Routes) == 2 && len(r.Spec.Routes) == 2 },
	}
}

func newSubnet(workspace, network, name, table string) *schema.Subnet {
	return &schema.Subnet{
		Metadata: inside(workspace, network, name),
		Spec: schema.SubnetSpec{
			Cidr: schema.Cidr{Ipv4: "10.0.1.0/24"}, RouteTableRef: to("route-tables/" + table), Zone: "a",
		},
	}
}

func subnets(s session, workspace, network, name, table string) *kind[schema.Subnet, secapi.NetworkPath, secapi.NetworkReference] {
	api := s.regional.NetworkV1
	return &kind[schema.Subnet, secapi.NetworkPath, secapi.NetworkReference]{
		kind: "subnet", provider: "seca.network/v1", collection: "networks/" + network + "/subnets",
		ref: inWorkspace(workspace), name: name, path: networkPath(workspace, network), reference: namedInside(workspace, network, name),
		list: api.ListSubnets, listWith: api.ListSubnetsWithOptions,
		get: api.GetSubnet, until: api.GetSubnetUntilState, gone: api.WatchSubnetUntilDeleted,
		put: api.CreateOrUpdateSubnet, putIf: putIf(api.CreateOrUpdateSubnetWithParams),
		remove: api.DeleteSubnet, removeIf: doIf(api.DeleteSubnetWithParams),
		look:  func(r *schema.Subnet) look { return looked(ofNetworks(r.Metadata), &r.Labels, r.Status) },
		made:  func() *schema.Subnet { return newSubnet(workspace, network, name, table) },
		alter: func(r *schema.Subnet) { r.Spec.SkuRef = pointer(to("skus/N5K")) },
		altered: func(r *schema.Subnet) bool {
			return r.Spec.SkuRef != nil && r.Spec.SkuRef.Resource == "skus/N5K" && r.Status.Cidr.Ipv4 == "10.0.1.0/24"
		},
	}
}
