package main

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"
)

// createDatabase makes an empty database beside the one that a URL names and returns its URL and what drops it.
func createDatabase(ctx context.Context, at string) (made string, drop func(), err error) {
	u, err := url.Parse(at)
	if err != nil {
		return "", nil, fmt.Errorf("expected postgres://user:password@host:port/database")
	}
	name := fmt.Sprintf("fairgate_rehearsal_%d", time.Now().UnixNano())
	if err := execAt(ctx, at, "CREATE DATABASE "+name); err != nil {
		return "", nil, err
	}
	u.Path = "/" + name
	return u.String(), func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_ = execAt(ctx, at, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
	}, nil
}

func execAt(ctx context.Context, at, statement string) error {
	conn, err := pgx.Connect(ctx, at)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	_, err = conn.Exec(ctx, statement)
	return err
}
