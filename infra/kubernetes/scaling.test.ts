import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { kafkaTopology } from '@weir/topology';
import { parseAllDocuments } from 'yaml';

// biome-ignore lint/suspicious/noExplicitAny: manifests of several kinds, looked at field by field
type Manifest = any;
const manifests = (file: string): Manifest[] =>
  parseAllDocuments(readFileSync(join(import.meta.dirname, file), 'utf8'), { strict: true }).map(
    (document) => {
      assert.deepEqual(document.errors, [], file);
      return document.toJS();
    },
  );
const { readings, groups } = kafkaTopology('');

test('KEDA and the HPA scale the same Deployment by the same metric, within the partitions', () => {
  const [keda] = manifests('keda.yaml');
  const [adapter, hpa] = manifests('hpa.yaml');
  assert.equal(keda.apiVersion, 'keda.sh/v1alpha1');
  assert.equal(hpa.apiVersion, 'autoscaling/v2');
  assert.equal(keda.spec.scaleTargetRef.name, hpa.spec.scaleTargetRef.name);
  assert.equal(keda.spec.maxReplicaCount, readings.partitions);
  assert.equal(hpa.spec.maxReplicas, readings.partitions);
  const [trigger] = keda.spec.triggers;
  assert.equal(trigger.metadata.query, `max(weir_lag_seconds{system="kafka",group="${groups.aggregator}"})`);
  const { metric, target } = hpa.spec.metrics[0].external;
  assert.deepEqual(metric.selector.matchLabels, { system: 'kafka', group: groups.aggregator });
  assert.equal(target.value, trigger.metadata.threshold);
  assert.deepEqual(hpa.spec.behavior, keda.spec.advanced.horizontalPodAutoscalerConfig.behavior);
  const [rule] = parseAllDocuments(adapter.data['config.yaml'])[0]?.toJS().externalRules ?? [];
  assert.equal(rule.name.as, metric.name);
});
