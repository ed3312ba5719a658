package goclient

import (
	"testing"
	"time"

	"github.com/eu-sovereign-cloud/go-sdk/pkg/spec/schema"
	"github.com/eu-sovereign-cloud/go-sdk/secapi"
)

// TestImpatience waits for what does not come, at a server that lets a caller ask twenty times a second.
//
// The client halves its interval at each look, so that behind twice the first one it asks without a pause. It has no name for 429, and a
// wait that is told so is over. With looks that are few, the same wait ends as it should.
func TestImpatience(t *testing.T) {
	s := owner(t)
	ctx := within(t)
	api := s.global.AuthorizationV1
	_, err := api.CreateOrUpdateRole(ctx, newRole("awaited"))
	must(t, "a role", err)
	never := until(schema.ResourceStateError)
	never.Interval = time.Millisecond
	_, err = api.GetRoleUntilState(ctx, ofTenant("awaited"), never)
	expect(t, "waiting without a bound", err, secapi.ErrUnknowError)
	never.Delay, never.Interval, never.MaxAttempts = time.Second, time.Second, 5
	_, err = api.GetRoleUntilState(ctx, ofTenant("awaited"), never)
	expect(t, "waiting for five looks", err, secapi.ErrRetryMaxAttemptsReached)
}
