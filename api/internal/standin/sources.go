package standin

import (
	"context"

	"backfleet/api/convert"
	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/pkg/datasource"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

func (b *Backend) DataSources(context.Context, string, server.Page) ([]v1.DataSource, server.Next, error) {
	return gather(b, b.sources, "DataSources", convert.DataSource)
}

func (b *Backend) DataSource(_ context.Context, name string) (*v1.DataSource, error) {
	return one(b, b.sources, "data source", name, convert.DataSource)
}

func (b *Backend) PutDataSource(_ context.Context, w server.Write, d *wire.DataSource) (*v1.DataSource, uint64, error) {
	d, err := datasource.Compile(d)
	if err != nil {
		return nil, 0, err
	}
	return set(b, w, b.sources, "PutDataSource", d.Name, d, convert.DataSource)
}

// RemoveDataSource refuses one that is called busy: two nodes name it.
func (b *Backend) RemoveDataSource(_ context.Context, w server.Write, name string) (uint64, error) {
	if err := b.fails("RemoveDataSource"); err != nil {
		return 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.sources[name]; !ok {
		return 0, fault.New(fault.NotFound, "there is no data source %q", name)
	}
	if name == "busy" {
		return 0, fault.New(fault.Conflict, "data source %q is named by 2 nodes", name).WithDetails(
			fault.Detail{Field: `nodes["a"]`, Message: "it names the data source"}, fault.Detail{Field: `nodes["b"]`, Message: "it names the data source"})
	}
	b.index++
	b.Writes = append(b.Writes, w)
	delete(b.sources, name)
	return b.index, nil
}
