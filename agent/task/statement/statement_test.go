package statement

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"backfleet/pkg/datasource"
	"backfleet/pkg/fault"
)

var dialects = []string{datasource.Postgres, datasource.MySQL, datasource.SQLite}

// texts are those of the statements of a script.
func texts(t *testing.T, dialect, script string) []string {
	t.Helper()
	list, err := Split(dialect, script)
	if err != nil {
		t.Fatalf("%s: %q: %v", dialect, script, err)
	}
	var out []string
	for _, s := range list {
		out = append(out, s.Text)
		if script[s.Offset:s.Offset+len(s.Text)] != s.Text {
			t.Errorf("%s: %q: %q does not stand at %d", dialect, script, s.Text, s.Offset)
		}
	}
	joined(t, dialect, script, list)
	return out
}

type failer interface {
	Helper()
	Errorf(format string, args ...any)
}

// joined holds the pieces against the script.
func joined(t failer, dialect, script string, list []Statement) {
	t.Helper()
	var b strings.Builder
	for _, s := range list {
		b.WriteString(s.Raw)
	}
	if len(list) > 0 && b.String() != script {
		t.Errorf("%s: joined, the pieces of %q are %q", dialect, script, b.String())
	}
}

func same(a, b []string) bool { return strings.Join(a, "\x00") == strings.Join(b, "\x00") }

func TestAllDialects(t *testing.T) {
	for _, c := range []struct {
		script string
		want   []string
	}{
		{"", nil},
		{" \n\t", nil},
		{"-- nothing", nil},
		{";;\n;", nil},
		{"SELECT 1", []string{"SELECT 1"}},
		{"SELECT 1;", []string{"SELECT 1"}},
		{"SELECT 1;;SELECT 2;", []string{"SELECT 1", "SELECT 2"}},
		{"\ufeffSELECT 1", []string{"SELECT 1"}},
		{"SELECT 1 ; -- end", []string{"SELECT 1"}},
		{"-- head\n/* more; */ SELECT 1", []string{"SELECT 1"}},
		{"SELECT 1 -- a; b\n; SELECT 2", []string{"SELECT 1", "SELECT 2"}},
		{"SELECT /* a; b */ 1; SELECT 2", []string{"SELECT /* a; b */ 1", "SELECT 2"}},
		{"SELECT 'a;b'; SELECT 2", []string{"SELECT 'a;b'", "SELECT 2"}},
		{"SELECT 'it''s; here'; SELECT 2", []string{"SELECT 'it''s; here'", "SELECT 2"}},
		{`SELECT a."x;y" FROM a; SELECT 2`, []string{`SELECT a."x;y" FROM a`, "SELECT 2"}},
		{`SELECT "x"";y"; SELECT 2`, []string{`SELECT "x"";y"`, "SELECT 2"}},
		{"SELECT a/*;*/b; SELECT 2", []string{"SELECT a/*;*/b", "SELECT 2"}},
		{"SELECT a+/*;*/b; SELECT 2", []string{"SELECT a+/*;*/b", "SELECT 2"}},
		{"SELECT a=-- ;\nb; SELECT 2", []string{"SELECT a=-- ;\nb", "SELECT 2"}},
		{"SELECT a-- ;\n; SELECT 2", []string{"SELECT a", "SELECT 2"}},
		{"SELECT 1e-- ;\n; SELECT 2", []string{"SELECT 1e", "SELECT 2"}},
		{"SELECT a.b.c, t.*, 1.5e-3 FROM t; SELECT 2", []string{"SELECT a.b.c, t.*, 1.5e-3 FROM t", "SELECT 2"}},
		{"SELECT 'ä;ö', größe FROM maße; SELECT 2", []string{"SELECT 'ä;ö', größe FROM maße", "SELECT 2"}},
		{"SELECT CASE WHEN a THEN 1 END; SELECT 2", []string{"SELECT CASE WHEN a THEN 1 END", "SELECT 2"}},
		{"BEGIN; SELECT 1; COMMIT", []string{"BEGIN", "SELECT 1", "COMMIT"}},
		{"BEGIN; SELECT 1; END; SELECT 2", []string{"BEGIN", "SELECT 1", "END", "SELECT 2"}},
		{"CREATE TABLE events (trigger_id int, begin_at int); SELECT 2", []string{"CREATE TABLE events (trigger_id int, begin_at int)", "SELECT 2"}},
		{"/*+ SeqScan(t) */ SELECT 1; SELECT 2", []string{"/*+ SeqScan(t) */ SELECT 1", "SELECT 2"}},
		{"SELECT 1;\r\nSELECT 2;\r\n", []string{"SELECT 1", "SELECT 2"}},
	} {
		for _, d := range dialects {
			if got := texts(t, d, c.script); !same(got, c.want) {
				t.Errorf("%s: %q\n got %q\nwant %q", d, c.script, got, c.want)
			}
		}
	}
}

func TestPostgres(t *testing.T) {
	function := "CREATE FUNCTION f() RETURNS int AS $$ BEGIN; RETURN 1; END $$ LANGUAGE plpgsql"
	atomic := "CREATE OR REPLACE FUNCTION f(a int) RETURNS int BEGIN ATOMIC SELECT CASE a WHEN 1 THEN 2 END; SELECT 3; END"
	for _, c := range []struct {
		script string
		want   []string
	}{
		{function + "; SELECT 2", []string{function, "SELECT 2"}},
		{"SELECT $body$a;$$;b$body$; SELECT 2", []string{"SELECT $body$a;$$;b$body$", "SELECT 2"}},
		{"SELECT $größe$a;b$größe$; SELECT 2", []string{"SELECT $größe$a;b$größe$", "SELECT 2"}},
		{"SELECT $1; SELECT 2", []string{"SELECT $1", "SELECT 2"}},
		{"SELECT a$$b; SELECT c$$d", []string{"SELECT a$$b", "SELECT c$$d"}},
		{"SELECT 1 /* a /* b; */ c; */; SELECT 2", []string{"SELECT 1", "SELECT 2"}},
		{`SELECT 'a\'; SELECT 2`, []string{`SELECT 'a\'`, "SELECT 2"}},
		{`SELECT E'a\';b'; SELECT 2`, []string{`SELECT E'a\';b'`, "SELECT 2"}},
		{`SELECT /* x */E'a\';b'; SELECT 2`, []string{`SELECT /* x */E'a\';b'`, "SELECT 2"}},
		{atomic + "; SELECT 2", []string{atomic, "SELECT 2"}},
		{"CREATE RULE r AS ON INSERT TO t DO ALSO (DELETE FROM a; DELETE FROM b); SELECT 2",
			[]string{"CREATE RULE r AS ON INSERT TO t DO ALSO (DELETE FROM a; DELETE FROM b)", "SELECT 2"}},
		{"SELECT a#>>'{x}', b#-'{y}', c->>'z' FROM t; SELECT 2", []string{"SELECT a#>>'{x}', b#-'{y}', c->>'z' FROM t", "SELECT 2"}},
		{"SELECT a #b; SELECT 2", []string{"SELECT a #b", "SELECT 2"}},
		{"SELECT a @> b, c ?| d, x::text; SELECT 2", []string{"SELECT a @> b, c ?| d, x::text", "SELECT 2"}},
		{"COPY t TO '/tmp/stdout'; SELECT 2", []string{"COPY t TO '/tmp/stdout'", "SELECT 2"}},
		{"COPY (SELECT a FROM stdin) TO PROGRAM 'cat'; SELECT 2", []string{"COPY (SELECT a FROM stdin) TO PROGRAM 'cat'", "SELECT 2"}},
		{"DO $do$ BEGIN PERFORM 1; END $do$; SELECT 2", []string{"DO $do$ BEGIN PERFORM 1; END $do$", "SELECT 2"}},
	} {
		if got := texts(t, datasource.Postgres, c.script); !same(got, c.want) {
			t.Errorf("%q\n got %q\nwant %q", c.script, got, c.want)
		}
	}
}

func TestMySQL(t *testing.T) {
	procedure := `CREATE PROCEDURE p(IN n int)
BEGIN
  DECLARE i int DEFAULT 0;
  w: WHILE i < n DO
    IF i = 1 THEN SET i = 2; ELSEIF i = 3 THEN SET i = 4; END IF;
    CASE i WHEN 1 THEN SELECT CASE i WHEN 1 THEN 'a' END; ELSE BEGIN END; END CASE;
    REPEAT SET i = i + 1; UNTIL i > 3 END REPEAT;
    CASE WHEN i THEN IF i THEN SET i = 1; END IF; END CASE;
    FOR r IN (SELECT 1) DO SELECT 1 ORDER BY CASE i WHEN 1 THEN 2 END FOR UPDATE; END FOR;
  END WHILE w;
END`
	trigger := "CREATE DEFINER=`a;b`@`%` TRIGGER t BEFORE INSERT ON x FOR EACH ROW BEGIN SET NEW.a = IF(NEW.a > 1, 2, 3); END"
	for _, c := range []struct {
		script string
		want   []string
	}{
		{procedure + ";\nSELECT 2", []string{procedure, "SELECT 2"}},
		{trigger + "; SELECT 2", []string{trigger, "SELECT 2"}},
		{"CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO BEGIN DELETE FROM a; END; SELECT 2", []string{"CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO BEGIN DELETE FROM a; END", "SELECT 2"}},
		{"BEGIN NOT ATOMIC SELECT 1; SELECT 2; END; SELECT 3", []string{"BEGIN NOT ATOMIC SELECT 1; SELECT 2; END", "SELECT 3"}},
		{`SELECT 'a\';b'; SELECT 2`, []string{`SELECT 'a\';b'`, "SELECT 2"}},
		{`SELECT "a\";b"; SELECT 2`, []string{`SELECT "a\";b"`, "SELECT 2"}},
		{"SELECT `a;b`; SELECT 2", []string{"SELECT `a;b`", "SELECT 2"}},
		{"SELECT `a``;b`; SELECT 2", []string{"SELECT `a``;b`", "SELECT 2"}},
		{"SELECT `a` . `b;c`, d . e, f. * FROM t; SELECT 2", []string{"SELECT `a` . `b;c`, d . e, f. * FROM t", "SELECT 2"}},
		{"SELECT `a`.b/*;*/; SELECT 2", []string{"SELECT `a`.b", "SELECT 2"}},
		{"SELECT 1 # a; b\n; SELECT 2", []string{"SELECT 1", "SELECT 2"}},
		{"SELECT a# ;\n; SELECT 2", []string{"SELECT a", "SELECT 2"}},
		{"SELECT a=# ;\nb; SELECT 2", []string{"SELECT a=# ;\nb", "SELECT 2"}},
		{"SELECT 5--3; SELECT 2", []string{"SELECT 5--3", "SELECT 2"}},
		{"SELECT 5---3; SELECT 2", []string{"SELECT 5---3", "SELECT 2"}},
		{"SELECT @a, @@session.b, @`x;y`; SELECT 2", []string{"SELECT @a, @@session.b, @`x;y`", "SELECT 2"}},
		{"/*!50003 CREATE TRIGGER t; */; SELECT 2", []string{"/*!50003 CREATE TRIGGER t; */", "SELECT 2"}},
		{"/*M!100100 SELECT 1; */; SELECT 2", []string{"/*M!100100 SELECT 1; */", "SELECT 2"}},
		{"SELECT $$; SELECT 2", []string{"SELECT $$", "SELECT 2"}},
	} {
		if got := texts(t, datasource.MySQL, c.script); !same(got, c.want) {
			t.Errorf("%q\n got %q\nwant %q", c.script, got, c.want)
		}
	}
}

func TestSQLite(t *testing.T) {
	trigger := "CREATE TEMP TRIGGER IF NOT EXISTS t AFTER UPDATE ON x WHEN NEW.a > 1\nBEGIN\n  INSERT INTO y SELECT CASE NEW.a WHEN 1 THEN 'b;' END;\n  DELETE FROM z;\nEND"
	for _, c := range []struct {
		script string
		want   []string
	}{
		{trigger + ";\nSELECT 2", []string{trigger, "SELECT 2"}},
		{"SELECT [a;b] FROM t; SELECT 2", []string{"SELECT [a;b] FROM t", "SELECT 2"}},
		{"SELECT `a;b` FROM t; SELECT 2", []string{"SELECT `a;b` FROM t", "SELECT 2"}},
		{`SELECT 'a\'; SELECT 2`, []string{`SELECT 'a\'`, "SELECT 2"}},
		{"SELECT 1 /* a /* b; */; SELECT 2", []string{"SELECT 1", "SELECT 2"}},
		{"SELECT $x, :y, ?1; SELECT 2", []string{"SELECT $x, :y, ?1", "SELECT 2"}},
		{"PRAGMA foreign_keys; VALUES (1);", []string{"PRAGMA foreign_keys", "VALUES (1)"}},
	} {
		if got := texts(t, datasource.SQLite, c.script); !same(got, c.want) {
			t.Errorf("%q\n got %q\nwant %q", c.script, got, c.want)
		}
	}
}

func TestPlaces(t *testing.T) {
	script := "-- head\n\n  SELECT\n 1; /* é */ SELECT 2;\n\nSELECT 'a\nb'; SELECT 3"
	list, err := Split(datasource.SQLite, script)
	if err != nil {
		t.Fatal(err)
	}
	want := [][2]int{{3, 3}, {4, 13}, {6, 1}, {7, 5}}
	for i, s := range list {
		if [2]int{s.Line, s.Column} != want[i] {
			t.Errorf("%q stands at %d:%d, want %v", s.Text, s.Line, s.Column, want[i])
		}
	}
	if len(list) != len(want) {
		t.Errorf("%d statements, want %d", len(list), len(want))
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct{ dialect, script, says string }{
		{datasource.MySQL, "SELECT 1;\nDELIMITER //\nCREATE PROCEDURE p() BEGIN END//", "line 2: DELIMITER is a command of the mysql program"},
		{datasource.MySQL, "delimiter $$", "line 1: DELIMITER"},
		{datasource.Postgres, "SELECT 1;\n\\i other.sql", `line 2: commands that begin with \`},
		{datasource.Postgres, "COPY t FROM STDIN;\n1\n\\.", "line 1: COPY … FROM STDIN has no data here"},
		{datasource.Postgres, "copy t (a, b) from stdin", "FROM STDIN"},
		{datasource.Postgres, "COPY t TO STDOUT WITH (FORMAT csv)", "line 1: COPY … TO STDOUT has nobody"},
		{datasource.SQLite, ".mode csv", "line 1: commands that begin with ."},
		{datasource.Postgres, "SELECT 1;\nSELECT 'a", "line 2: ' is never closed"},
		{datasource.MySQL, "SELECT `a", "line 1: ` is never closed"},
		{datasource.Postgres, `SELECT "a`, `line 1: " is never closed`},
		{datasource.SQLite, "SELECT [a", "line 1: [ is never closed"},
		{datasource.Postgres, "SELECT\n$x$ a", "line 2: $x$ is never closed"},
		{datasource.Postgres, "SELECT 1 /* /* */", "line 1: /* is never closed"},
		{datasource.SQLite, "SELECT 1 /* ", "line 1: /* is never closed"},
		{datasource.SQLite, "SELECT 1;\nCREATE TRIGGER t AFTER INSERT ON x BEGIN\nSELECT 1;\n", "line 2: the statement that begins here has a BEGIN without END"},
		{datasource.SQLite, "SELECT\n'\x00'", "line 2: there is a NUL character"},
	} {
		_, err := Split(c.dialect, c.script)
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %q: %v, want %q", c.dialect, c.script, err, c.says)
		}
	}
}

func TestWord(t *testing.T) {
	s := Statement{Text: "/*+ x */ create  or Replace\nTEMPORARY table 1a"}
	for i, want := range []string{"X", "CREATE", "OR", "REPLACE", "TEMPORARY", "TABLE", "A", ""} {
		if got := s.Word(i); got != want {
			t.Errorf("word %d is %q, want %q", i, got, want)
		}
	}
}

// TestScriptsOfWholeStatements joins statements that stand alone, with all that
// may stand between them, and finds the same ones again.
func TestScriptsOfWholeStatements(t *testing.T) {
	pieces := map[string][]string{
		datasource.Postgres: {"SELECT $a$;$a$", `SELECT E'\';'`, `SELECT '\'`, "SELECT 1 /* /* ; */ */ + 2"},
		datasource.MySQL:    {"SELECT `;`", `SELECT '\';'`, "SELECT 5--3", "CREATE TRIGGER t BEFORE INSERT ON x FOR EACH ROW BEGIN IF a THEN SET b = 1; END IF; END", "SELECT 1 # ;\n+ 2"},
		datasource.SQLite:   {"SELECT [;]", "SELECT `;`", "CREATE TRIGGER t AFTER INSERT ON x BEGIN SELECT CASE WHEN 1 THEN 2 END; END"},
	}
	common := []string{"SELECT 1", "SELECT ';'", "INSERT INTO a VALUES (1, 'x''y;')", `SELECT ";" FROM t`, "SELECT a -- ;\n, b", "SELECT /* ; */ 1", "BEGIN", "COMMIT"}
	between := []string{"", " ", "\n", "-- x;y\n", "/* ; */", "\t\r\n", ";"}
	rapid.Check(t, func(t *rapid.T) {
		dialect := rapid.SampledFrom(dialects).Draw(t, "dialect")
		want := rapid.SliceOfN(rapid.SampledFrom(append(pieces[dialect], common...)), 1, 8).Draw(t, "statements")
		blanks := rapid.SampledFrom(between)
		var script strings.Builder
		for _, w := range want {
			script.WriteString(blanks.Draw(t, "before") + w + blanks.Draw(t, "behind") + "\n;")
		}
		script.WriteString(blanks.Draw(t, "end"))
		list, err := Split(dialect, script.String())
		if err != nil {
			t.Fatalf("%q: %v", script.String(), err)
		}
		var got []string
		for _, s := range list {
			got = append(got, s.Text)
		}
		if !same(got, want) {
			t.Fatalf("%s: %q\n got %q\nwant %q", dialect, script.String(), got, want)
		}
		joined(t, dialect, script.String(), list)
	})
}

func FuzzSplit(f *testing.F) {
	for _, s := range []string{"SELECT 1; SELECT 2", "SELECT $$a;b$$", "a . b . * ; `c` . d", "CREATE TRIGGER t BEGIN CASE END; END IF; END;", "-- x\n/*;*/", "'\\';", "1e-", "@@", "\"a\".\"b\"", "$x$", "#>>-", "[a]", "\xff\xfe;"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, script string) {
		for _, d := range dialects {
			list, err := Split(d, script)
			if err != nil {
				continue
			}
			joined(t, d, script, list)
			at := 0
			for _, s := range list {
				if s.Text == "" || s.Offset < at || !strings.HasPrefix(script[s.Offset:], s.Text) || !strings.Contains(s.Raw, s.Text) {
					t.Errorf("%s: %q: statement %q at %d", d, script, s.Text, s.Offset)
				}
				at = s.Offset + len(s.Text)
			}
		}
	})
}
