// What Grafana's own types say of a dashboard, for the kinds of panel that ours has. Grafana fills in what is left out,
// so options may be partial; what is there has to be known.
import type * as grafana from '@grafana/schema';
import type * as bargauge from '@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen';
import type * as stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as statetimeline from '@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
import type * as table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as timeseries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

/** Enums as the strings that stand in JSON. */
type Plain<T> = T extends string ? `${T}` : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;

/** As Grafana's Prometheus data source reads them. */
interface Query {
  refId: string;
  expr: string;
  legendFormat: string;
  instant?: boolean;
  range?: boolean;
  format?: 'table';
}

type Unit = 'none' | 'reqps' | 'ops' | 's' | 'bytes' | 'percentunit';

interface PanelOf<Type, Options, Custom>
  extends Omit<grafana.Panel, 'type' | 'options' | 'targets' | 'fieldConfig' | 'transformations'> {
  type: Type;
  id: number;
  title: string;
  description: string;
  gridPos: grafana.GridPos;
  targets: Query[];
  options: Partial<Options>;
  transformations?: { id: 'organize' | 'joinByField'; options: Record<string, unknown> }[];
  fieldConfig: {
    defaults: Omit<grafana.FieldConfig, 'custom'> & {
      unit: Unit;
      thresholds: grafana.ThresholdsConfig;
      custom?: Partial<Custom>;
    };
    overrides: grafana.FieldConfigSource['overrides'];
  };
}

type OurPanel =
  | grafana.RowPanel
  | PanelOf<'bargauge', bargauge.Options, never>
  | PanelOf<'stat', stat.Options, never>
  | PanelOf<'state-timeline', statetimeline.Options, statetimeline.FieldConfig>
  | PanelOf<'table', table.Options, table.FieldConfig>
  | PanelOf<'timeseries', timeseries.Options, timeseries.FieldConfig>;

/** Prometheus annotations carry their query beside Grafana's own fields. */
interface Annotation extends grafana.AnnotationQuery {
  expr: string;
  titleFormat: string;
  tagKeys?: string;
  step?: string;
  useValueForTime?: boolean;
}

export type Dashboard = Plain<
  Omit<grafana.Dashboard, 'panels' | 'annotations'> & {
    uid: string;
    title: string;
    panels: OurPanel[];
    annotations: { list: Annotation[] };
  }
>;
