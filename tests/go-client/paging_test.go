package goclient

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/eu-sovereign-cloud/go-sdk/pkg/spec/schema"
	"github.com/eu-sovereign-cloud/go-sdk/secapi"
	"github.com/eu-sovereign-cloud/go-sdk/secapi/builders"
)

// TestPaging reads a collection in pages of any size, selected and whole, while it changes.
func TestPaging(t *testing.T) {
	s := owner(t)
	ctx := within(t)
	const workspace, total = "pages", 25
	_, err := s.regional.WorkspaceV1.CreateOrUpdateWorkspace(ctx, newWorkspace(workspace))
	must(t, "a workspace", err)
	gateway := func(number int) *schema.InternetGateway {
		gateway := &schema.InternetGateway{Metadata: at(workspace, fmt.Sprintf("gateway-%02d", number))}
		gateway.Labels = schema.Labels{"number": fmt.Sprint(number)}
		return gateway
	}
	create := func(number int) {
		_, err := s.regional.NetworkV1.CreateOrUpdateInternetGateway(ctx, gateway(number))
		must(t, "a gateway", err)
	}
	iterate := func(options *secapi.ListOptions) *secapi.Iterator[schema.InternetGateway] {
		iterator, err := s.regional.NetworkV1.ListInternetGatewaysWithOptions(ctx, in(workspace), options)
		must(t, "a list", err)
		return iterator
	}
	read := func(iterator *secapi.Iterator[schema.InternetGateway]) []string {
		items, err := iterator.All(ctx)
		must(t, "a list", err)
		var names []string
		for _, item := range items {
			names = append(names, item.Metadata.Name)
		}
		return names
	}
	if found := read(iterate(secapi.NewListOptions().WithLimit(10))); found != nil {
		t.Errorf("in an empty workspace are %v", found)
	}
	var names []string
	for number := range total {
		create(number)
		names = append(names, gateway(number).Metadata.Name)
	}
	// Pages that end with the collection, that do not, and one that holds all; no item is missed or met twice.
	for _, limit := range []int{1, 5, 7, 24, 25, 26, 10_000} {
		iterator := iterate(secapi.NewListOptions().WithLimit(limit))
		if found := read(iterator); !slices.Equal(found, names) {
			t.Errorf("in pages of %d: %v", limit, found)
		}
		if token := iterator.Metadata().SkipToken; token != nil {
			t.Errorf("the last page of %d says that there is another: %s", limit, *token)
		}
	}
	few := builders.NewLabelsBuilder().Gte("number", 4).Lt("number", 13)
	if found := read(iterate(secapi.NewListOptions().WithLimit(4).WithLabels(few))); !slices.Equal(found, names[4:13]) {
		t.Errorf("%s in pages of 4: %v", few.Build(), found)
	}

	// What goes and comes between two pages hides and repeats nothing else.
	iterator := iterate(secapi.NewListOptions().WithLimit(10))
	var found []string
	for {
		item, err := iterator.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, "the next item", err)
		if len(found) == 0 {
			equal(t, "another page", iterator.Metadata().SkipToken != nil, true)
			// One that was met, one of the same page, one of another; and one behind all.
			for _, number := range []int{0, 5, 15} {
				must(t, "deleting", s.regional.NetworkV1.DeleteInternetGateway(ctx, gateway(number)))
				reference := named(workspace, gateway(number).Metadata.Name)
				must(t, "its end", s.regional.NetworkV1.WatchInternetGatewayUntilDeleted(ctx, reference, away))
			}
			create(total)
		}
		found = append(found, item.Metadata.Name)
	}
	expected := append(slices.Delete(slices.Clone(names), 15, 16), gateway(total).Metadata.Name)
	if !slices.Equal(found, expected) {
		t.Errorf("while it changed: %v instead of %v", found, expected)
	}

	for number := range total + 1 {
		must(t, "deleting", s.regional.NetworkV1.DeleteInternetGateway(ctx, gateway(number)))
	}
	must(t, "deleting the workspace", s.regional.WorkspaceV1.DeleteWorkspace(ctx, newWorkspace(workspace)))
	must(t, "its end", s.regional.WorkspaceV1.WatchWorkspaceUntilDeleted(ctx, ofTenant(workspace), away))
}
