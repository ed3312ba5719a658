package goclient

import (
	"slices"

	"github.com/eu-sovereign-cloud/go-sdk/pkg/spec/schema"
	"github.com/eu-sovereign-cloud/go-sdk/secapi"
)

// What a machine is reached by: NICs, public addresses, and who is let through.

func newRule(workspace, name string) *schema.SecurityGroupRule {
	return &schema.SecurityGroupRule{
		Metadata: at(workspace, name),
		Spec: schema.SecurityGroupRuleSpec{
			Direction: schema.SecurityGroupRuleDirectionIngress, Protocol: schema.SecurityGroupRuleProtocolTCP,
			Ports: &schema.Ports{From: 80, To: 90, List: []schema.Port{443}}, SourceRef: []schema.Reference{to("192.0.2.0/24")},
		},
	}
}

func rules(s session, workspace, name string) *kind[schema.SecurityGroupRule, secapi.WorkspacePath, secapi.WorkspaceReference] {
	api := s.regional.NetworkV1
	return &kind[schema.SecurityGroupRule, secapi.WorkspacePath, secapi.WorkspaceReference]{
		kind: "security-group-rule", provider: "seca.network/v1", collection: "security-group-rules", ref: inWorkspace(workspace),
		name: name, path: in(workspace), reference: named(workspace, name),
		list: api.ListSecurityGroupRules, listWith: api.ListSecurityGroupRulesWithOptions,
		get: api.GetSecurityGroupRule, until: api.GetSecurityGroupRuleUntilState, gone: api.WatchSecurityGroupRuleUntilDeleted,
		put: api.CreateOrUpdateSecurityGroupRule, putIf: putIf(api.CreateOrUpdateSecurityGroupRuleWithParams),
		remove: api.DeleteSecurityGroupRule, removeIf: doIf(api.DeleteSecurityGroupRuleWithParams),
		look: func(r *schema.SecurityGroupRule) look { return looked(ofWorkspaces(r.Metadata), &r.Labels, r.Status) },
		made: func() *schema.SecurityGroupRule { return newRule(workspace, name) },
		alter: func(r *schema.SecurityGroupRule) {
			r.Spec.Version = schema.IPVersionIPv4
			r.Spec.Ports.List = []schema.Port{443, 8443}
		},
		altered: func(r *schema.SecurityGroupRule) bool {
			return r.Spec.Version == schema.IPVersionIPv4 && slices.Equal(r.Spec.Ports.List, []schema.Port{443, 8443})
		},
	}
}

func newGroup(workspace, name, rule string) *schema.SecurityGroup {
	return &schema.SecurityGroup{
		Metadata: at(workspace, name),
		Spec:     schema.SecurityGroupSpec{RuleRefs: []schema.Reference{to("security-group-rules/" + rule)}},
	}
}

func groups(s session, workspace, name, rule string) *kind[schema.SecurityGroup, secapi.WorkspacePath, secapi.WorkspaceReference] {
	api := s.regional.NetworkV1
	return &kind[schema.SecurityGroup, secapi.WorkspacePath, secapi.WorkspaceReference]{
		kind: "security-group", provider: "seca.network/v1", collection: "security-groups", ref: inWorkspace(workspace),
		name: name, path: in(workspace), reference: named(workspace, name),
		list: api.ListSecurityGroups, listWith: api.ListSecurityGroupsWithOptions,
		get: api.GetSecurityGroup, until: api.GetSecurityGroupUntilState, gone: api.WatchSecurityGroupUntilDeleted,
		put: api.CreateOrUpdateSecurityGroup, putIf: putIf(api.CreateOrUpdateSecurityGroupWithParams),
		remove: api.DeleteSecurityGroup, removeIf: doIf(api.DeleteSecurityGroupWithParams),
		look: func(r *schema.SecurityGroup) look { return looked(ofWorkspaces(r.Metadata), &r.Labels, r.Status) },
		made: func() *schema.SecurityGroup { return newGroup(workspace, name, rule) },
		alter: func(r *schema.SecurityGroup) {
			ping := &schema.IcmpConfig{Type: 8}
			r.Spec.Rules = []schema.SecurityGroupRuleSpec{
				{Direction: schema.SecurityGroupRuleDirectionEgress},
				{Direction: schema.SecurityGroupRuleDirectionIngress, Protocol: schema.SecurityGroupRuleProtocolICMP, Icmp: ping},
			}
		},
		altered: func(r *schema.SecurityGroup) bool {
			return len(r.Spec.Rules) == 2 && r.Spec.Rules[1].Icmp.Type == 8 && len(r.Status.Rules) == 3
		},
	}
}

func newPublicIP(workspace, name string) *schema.PublicIp {
	return &schema.PublicIp{Metadata: at(workspace, name), Spec: schema.PublicIpSpec{Version: schema.IPVersionIPv4}}
}

func publicIPs(s session, workspace, name string) *kind[schema.PublicIp, secapi.WorkspacePath, secapi.WorkspaceReference] {
	api := s.regional.NetworkV1
	return &kind[schema.PublicIp, secapi.WorkspacePath, secapi.WorkspaceReference]{
		kind: "public-ip", provider: "seca.network/v1", collection: "public-ips", ref: inWorkspace(workspace),
		name: name, path: in(workspace), reference: named(workspace, name),
		list: api.ListPublicIps, listWith: api.ListPublicIpsWithOptions,
		get: api.GetPublicIp, until: api.GetPublicIpUntilState, gone: api.WatchPublicIpUntilDeleted,
		put: api.CreateOrUpdatePublicIp, putIf: putIf(api.CreateOrUpdatePublicIpWithParams),
		remove: api.DeletePublicIp, removeIf: doIf(api.DeletePublicIpWithParams),
		look:    func(r *schema.PublicIp) look { return looked(ofWorkspaces(r.Metadata), &r.Labels, r.Status) },
		made:    func() *schema.PublicIp { return newPublicIP(workspace, name) },
		alter:   func(r *schema.PublicIp) { r.Annotations = schema.Annotations{"for": "the proof"} },
		altered: func(r *schema.PublicIp) bool { return r.Annotations["for"] == "the proof" && r.Status.IpAddress != "" },
	}
}

func newNic(workspace, name, subnet string) *schema.Nic {
	return &schema.Nic{
		Metadata: at(workspace, name),
		Spec:     schema.NicSpec{Addresses: []string{"10.0.1.10"}, SubnetRef: to(subnet)},
	}
}

func nics(s session, workspace, name, subnet, public, group string) *kind[schema.Nic, secapi.WorkspacePath, secapi.WorkspaceReference] {
	api := s.regional.NetworkV1
	return &kind[schema.Nic, secapi.WorkspacePath, secapi.WorkspaceReference]{
		kind: "nic", provider: "seca.network/v1", collection: "nics", ref: inWorkspace(workspace),
		name: name, path: in(workspace), reference: named(workspace, name),
		list: api.ListNics, listWith: api.ListNicsWithOptions,
		get: api.GetNic, until: api.GetNicUntilState, gone: api.WatchNicUntilDeleted,
		put: api.CreateOrUpdateNic, putIf: putIf(api.CreateOrUpdateNicWithParams),
		remove: api.DeleteNic, removeIf: doIf(api.DeleteNicWithParams),
		look: func(r *schema.Nic) look { return looked(ofWorkspaces(r.Metadata), &r.Labels, r.Status) },
		made: func() *schema.Nic { return newNic(workspace, name, subnet) },
		alter: func(r *schema.Nic) {
			r.Spec.PublicIpRefs = []schema.Reference{to("public-ips/" + public)}
			r.Spec.SecurityGroupRefs = []schema.Reference{to("security-groups/" + group)}
		},
		altered: func(r *schema.Nic) bool {
			return slices.Equal(r.Status.Addresses, []string{"10.0.1.10"}) && len(r.Status.PublicIpRefs) == 1 &&
				len(r.Spec.SecurityGroupRefs) == 1 && r.Status.MacAddress != ""
		},
	}
}
