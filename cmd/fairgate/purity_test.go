package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"testing"
)

// checkPureSource refuses what imports do not show: goroutines, channels, floating point, and map types, whose
// iteration order would differ between replicas. A map that is only looked up in is declared with the comment
// "lookup only" on its line or the line above.
func checkPureSource(t *testing.T, p listed, name string) {
	t.Helper()
	fset := token.NewFileSet()
	path := filepath.Join(p.Dir, name)
	file, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	maps := mapNames(file)
	ast.Inspect(file, func(n ast.Node) bool {
		at := func() string { return p.ImportPath + "/" + filepath.Base(fset.Position(n.Pos()).String()) }
		switch n := n.(type) {
		case *ast.GoStmt:
			t.Errorf("%s: a goroutine in a pure core", at())
		case *ast.SelectStmt, *ast.SendStmt, *ast.ChanType:
			t.Errorf("%s: a channel in a pure core", at())
		case *ast.Ident:
			if n.Name == "float64" || n.Name == "float32" {
				t.Errorf("%s: floating point in a pure core", at())
			}
		case *ast.BasicLit:
			if n.Kind == token.FLOAT {
				t.Errorf("%s: a floating-point constant in a pure core", at())
			}
		case *ast.RangeStmt:
			if rangesOverMap(n.X, maps) {
				t.Errorf("%s: iterates over a map in a pure core", at())
			}
		}
		return true
	})
}

// mapNames are the names of fields, parameters and variables of this file whose type is written as a map.
func mapNames(file *ast.File) map[string]bool {
	names := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			if _, ok := n.Type.(*ast.MapType); ok {
				for _, id := range n.Names {
					names[id.Name] = true
				}
			}
		case *ast.ValueSpec:
			if _, ok := n.Type.(*ast.MapType); ok {
				for _, id := range n.Names {
					names[id.Name] = true
				}
			}
		case *ast.AssignStmt:
			for i, rhs := range n.Rhs {
				if call, ok := rhs.(*ast.CallExpr); ok && len(call.Args) > 0 {
					if _, ok := call.Args[0].(*ast.MapType); ok && i < len(n.Lhs) {
						if id, ok := n.Lhs[i].(*ast.Ident); ok {
							names[id.Name] = true
						}
					}
				}
			}
		}
		return true
	})
	return names
}

func rangesOverMap(x ast.Expr, maps map[string]bool) bool {
	switch x := x.(type) {
	case *ast.Ident:
		return maps[x.Name]
	case *ast.SelectorExpr:
		return maps[x.Sel.Name]
	}
	return false
}
