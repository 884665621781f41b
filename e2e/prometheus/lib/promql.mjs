// What an expression says of metrics, read with Prometheus' own grammar.
import { parser } from '@prometheus-io/lezer-promql';

/** Each selector's metric with every label that is asked of it: `{metric, labels}`. Throws where it does not parse. */
export function selectors(expression) {
  const tree = parser.parse(expression);
  tree.iterate({
    enter({ type, from }) {
      if (type.isError) throw new Error(`no PromQL at ${from}: ${expression}`);
    },
  });
  const text = ({ from, to }) => expression.slice(from, to);
  const names = (node) => node.getChildren('LabelName').map(text);

  const found = [];
  /** `grouped`: the labels that surrounding aggregations and joins ask of everything inside them. */
  const visit = (node, grouped) => {
    if (node.name === 'VectorSelector') {
      const matchers = node.getChild('LabelMatchers')?.getChildren('UnquotedLabelMatcher') ?? [];
      found.push({ metric: text(node.getChild('Identifier')), labels: [...grouped, ...matchers.flatMap(names)] });
      return;
    }
    const by = node.getChild('AggregateModifier', null, null);
    const on = node.getChild('MatchingModifierClause');
    const asked = [by?.getChild('By') && by, on?.getChild('On') && on]
      .filter(Boolean)
      .flatMap((clause) => names(clause.getChild('GroupingLabels')))
      .filter((label) => label !== 'le');
    for (let child = node.firstChild; child; child = child.nextSibling) visit(child, [...grouped, ...asked]);
  };
  visit(tree.topNode, []);
  return found;
}
