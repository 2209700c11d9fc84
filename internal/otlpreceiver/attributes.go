package otlpreceiver

import commonpb "go.opentelemetry.io/proto/otlp/common/v1"

// All returns the span's attributes as texts.
func (s Span) All() map[string]string { return texts(s.GetAttributes()) }

func texts(attributes []*commonpb.KeyValue) map[string]string {
	all := map[string]string{}
	for _, each := range attributes {
		all[each.GetKey()] = each.GetValue().GetStringValue()
	}
	return all
}
