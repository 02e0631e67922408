package database

import (
	"context"
	"database/sql/driver"
	"fmt"
	"io"
	"strconv"
	"sync"
)

// MySQL's protocol has no word for "stop": a client that goes away is noticed
// when the server next has something to tell it. So these connections know their
// number at the server, and whoever stops one says KILL on another.

// stoppable makes such connections.
type stoppable struct{ driver.Connector }

// Connect implements driver.Connector.
func (s stoppable) Connect(ctx context.Context) (driver.Conn, error) {
	plain, err := s.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	c, ok := plain.(serverConn)
	if !ok {
		_ = plain.Close()
		return nil, fmt.Errorf("a connection of %T lacks methods", plain)
	}
	id, err := number(ctx, c)
	if err != nil {
		_ = plain.Close()
		return nil, err
	}
	return &stoppableConn{serverConn: c, server: s, id: id}, nil
}

// number is a connection's at the server.
func number(ctx context.Context, c driver.QueryerContext) (int64, error) {
	rows, err := c.QueryContext(ctx, "SELECT CONNECTION_ID()", nil)
	if err != nil {
		return 0, err
	}
	value := make([]driver.Value, 1)
	if err = rows.Next(value); err == nil || err == io.EOF {
		err = rows.Close()
	} else {
		_ = rows.Close()
	}
	if err != nil {
		return 0, err
	}
	switch id := value[0].(type) {
	case int64:
		return id, nil
	case uint64:
		return int64(id), nil
	}
	return 0, fmt.Errorf("CONNECTION_ID() is %T", value[0])
}

// kill ends what a connection does, and the connection with it: the driver has
// given it up already. That it is gone is as good.
func (s stoppable) kill(id int64) {
	ctx, cancel := context.WithTimeout(context.Background(), answering)
	defer cancel()
	c, err := s.Connector.Connect(ctx)
	if err != nil {
		return
	}
	defer c.Close()
	if c, ok := c.(driver.ExecerContext); ok {
		_, _ = c.ExecContext(ctx, "KILL "+strconv.FormatInt(id, 10), nil)
	}
}

// serverConn is what the driver's connections are.
type serverConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
	driver.NamedValueChecker
}

type stoppableConn struct {
	serverConn
	server stoppable
	id     int64
}

// watch stops what follows on the server when ctx ends. Called afterwards, done
// returns when the server has been told, or need not be.
func (c *stoppableConn) watch(ctx context.Context) (done func()) {
	told := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		defer close(told)
		c.server.kill(c.id)
	})
	return sync.OnceFunc(func() {
		if !cancel() {
			<-told
		}
	})
}

// ExecContext implements driver.ExecerContext.
func (c *stoppableConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	defer c.watch(ctx)()
	return c.serverConn.ExecContext(ctx, query, args)
}

// QueryContext implements driver.QueryerContext.
func (c *stoppableConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	done := c.watch(ctx)
	return watched(done)(c.serverConn.QueryContext(ctx, query, args))
}

// PrepareContext implements driver.ConnPrepareContext.
func (c *stoppableConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	plain, err := c.serverConn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s, ok := plain.(serverStmt)
	if !ok {
		_ = plain.Close()
		return nil, fmt.Errorf("a statement of %T lacks methods", plain)
	}
	return &stoppableStmt{serverStmt: s, conn: c}, nil
}

// serverStmt is what the driver's prepared statements are.
type serverStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
	driver.NamedValueChecker
}

type stoppableStmt struct {
	serverStmt
	conn *stoppableConn
}

// ExecContext implements driver.StmtExecContext.
func (s *stoppableStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	defer s.conn.watch(ctx)()
	return s.serverStmt.ExecContext(ctx, args)
}

// QueryContext implements driver.StmtQueryContext.
func (s *stoppableStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	done := s.conn.watch(ctx)
	return watched(done)(s.serverStmt.QueryContext(ctx, args))
}

// serverRows is what the driver's rows are.
type serverRows interface {
	driver.RowsNextResultSet
	driver.RowsColumnTypeDatabaseTypeName
	driver.RowsColumnTypeNullable
	driver.RowsColumnTypePrecisionScale
	driver.RowsColumnTypeScanType
}

// stoppableRows are watched until they are closed.
type stoppableRows struct {
	serverRows
	done func()
}

// watched wraps what a query gives.
func watched(done func()) func(driver.Rows, error) (driver.Rows, error) {
	return func(rows driver.Rows, err error) (driver.Rows, error) {
		r, ok := rows.(serverRows)
		if err != nil || !ok {
			done()
			return rows, err
		}
		return &stoppableRows{serverRows: r, done: done}, nil
	}
}

// Close implements driver.Rows.
func (r *stoppableRows) Close() error {
	err := r.serverRows.Close()
	r.done()
	return err
}
