package testredis_test

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"fairgate/internal/embedded/testredis"
)

func TestServer_RestartsEmptyOnTheSameAddress(t *testing.T) {
	s := testredis.Start(t)
	client := redis.NewClient(&redis.Options{Addr: s.Addr()})
	defer client.Close()
	if err := client.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	if err := client.Get(t.Context(), "k").Err(); err == nil {
		t.Fatal("a killed server answers")
	}
	s.Restart()
	if n, err := client.Exists(t.Context(), "k").Result(); err != nil || n != 0 {
		t.Fatal(n, err)
	}
}
